import { subjectOf } from '../crypto/certificate.ts';
import type { StatusFinding } from '../crypto/certificate-status.ts';
import { formatTime } from '../encoding/time.ts';
import { BullaError } from '../errors.ts';

/**
 * What is wrong about the revocation status of a certificate; undefined where nothing is.
 * @param stamped when a trusted authority saw the signature: a key that became invalid later was still good then
 * @returns `revoked`, or the reason why nothing is known
 */
export function revocationProblem(
  { certificate, outcome }: StatusFinding,
  stamped: Date | undefined,
): BullaError | undefined {
  if (outcome.kind === 'unavailable') return outcome.error;
  if (outcome.kind === 'unknown')
    return new BullaError(
      'certificate-invalid',
      `the status of ${subjectOf(certificate)} is unknown to its authority`,
      {
        hint: 'its authority may not have issued it: ask the authority',
      },
    );
  if (outcome.kind !== 'revoked') return undefined;
  const { at, reason, invaliditySince: since } = outcome;
  if (since !== undefined && stamped !== undefined && stamped < since) return undefined;
  const why = reason === undefined ? '' : ` (${reason})`;
  return new BullaError(
    'revoked',
    `the certificate ${subjectOf(certificate)} was revoked at ${formatTime(at)}${why}`,
    {
      hint: 'do not use the image before you know why; have it signed again with another certificate',
      details: { thumbprint: certificate.thumbprint, revokedAt: formatTime(at) },
    },
  );
}

/** What there is to be said about the certificates of a signature that counts nevertheless. */
export function revocationRemarks(findings: readonly StatusFinding[]): readonly string[] {
  return findings.flatMap((finding) => {
    const { certificate, outcome } = finding;
    if (outcome.kind === 'not-asked')
      return [
        `whether the certificate ${subjectOf(certificate)} was revoked was not asked, because of --offline`,
      ];
    const problem = revocationProblem(finding, undefined);
    return problem === undefined ? [] : [problem.message];
  });
}
