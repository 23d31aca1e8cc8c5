import type { Descriptor } from '../../oci/descriptor.ts';
import type { BlobOutcome } from '../../oci/target.ts';

/**
 * Events during a copy, for display. Content is identified by its descriptor's digest;
 * each piece comes once in `planned.content`, and ends with one `done` or `skip`.
 */
export type CopyEvent =
  /** All that belongs to the image is known: so many manifests and blobs, so many bytes in all. */
  | { readonly kind: 'planned'; readonly content: number; readonly bytes: number }
  /** Its transfer begins. */
  | { readonly kind: 'start'; readonly descriptor: Descriptor }
  /** So many bytes of it have come by now; fewer than before where it is sent again. */
  | { readonly kind: 'progress'; readonly descriptor: Descriptor; readonly bytes: number }
  /** It is at the destination, and was not before. */
  | {
      readonly kind: 'done';
      readonly descriptor: Descriptor;
      readonly outcome: Exclude<BlobOutcome, 'exists'>;
      /** Bytes that were sent: none where it was mounted. */
      readonly bytes: number;
    }
  /** It was at the destination already, or comes from elsewhere by its nature (foreign layers). */
  | { readonly kind: 'skip'; readonly descriptor: Descriptor }
  /** Something was found that cannot be copied, and does not keep the image from being copied. */
  | {
      readonly kind: 'warning';
      readonly message: string;
      /** Whether it belongs to the image and was left behind, so that the copy is not complete. */
      readonly isLeft?: boolean;
    };

export type OnCopyEvent = (event: CopyEvent) => void;
