import { isErrno } from '../../disk/atomic.ts';
import { BullaError } from '../../errors.ts';

/** Codes of distribution-spec ("Error Codes"), and three of ours where it has none. */
export type FaultCode =
  | 'BLOB_UNKNOWN'
  | 'BLOB_UPLOAD_INVALID'
  | 'BLOB_UPLOAD_UNKNOWN'
  | 'DENIED'
  | 'DIGEST_INVALID'
  | 'MANIFEST_BLOB_UNKNOWN'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'PAGINATION_NUMBER_INVALID'
  | 'PRECONDITION_FAILED'
  | 'RANGE_INVALID'
  | 'SIZE_INVALID'
  | 'TAG_INVALID'
  | 'TOOMANYREQUESTS'
  | 'UNAUTHORIZED'
  | 'UNKNOWN'
  | 'UNSUPPORTED';

/** An answer that is not success. Thrown inside the server only, and turned into a response there. */
export class Fault extends Error {
  override readonly name = 'Fault';
  readonly status: number;
  readonly code: FaultCode;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: FaultCode,
    message: string,
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

/** The fault that any error is to the client. What the disk says stays in the log. */
export function faultOf(error: unknown): Fault {
  if (error instanceof Fault) return error;
  const cause = error instanceof BullaError ? error.cause : error;
  if (isErrno(cause, 'ENOSPC', 'EDQUOT', 'EFBIG'))
    return new Fault(507, 'UNKNOWN', 'the registry has no room left; nothing was stored');
  return new Fault(500, 'UNKNOWN', 'the registry could not do this; its log says why');
}
