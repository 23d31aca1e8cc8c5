import { acr } from './acr.ts';
import { artifactory } from './artifactory.ts';
import { cloudflare } from './cloudflare.ts';
import { dockerHub } from './docker-hub.ts';
import { ecr } from './ecr.ts';
import { gar } from './gar.ts';
import { ghcr } from './ghcr.ts';
import { gitea } from './gitea.ts';
import { gitlab } from './gitlab.ts';
import { harbor } from './harbor.ts';
import { nexus } from './nexus.ts';
import type { Dialect } from './proxy.ts';
import { pulp } from './pulp.ts';
import { quay } from './quay.ts';
import { zot } from './zot.ts';

/** A registry that cannot be had here, and what the flow finds there. */
export interface Emulated {
  /** Its row in docs/registries.md. */
  readonly row: string;
  readonly dialect: () => Dialect;
  /** With these tags fixed, where that is a setting of it. */
  readonly immutable?: (fixed: RegExp) => Dialect;
  /** How repositories are called there; `team/app` if left out. */
  readonly prefix?: string;
  /** Detached signatures cannot be listed. */
  readonly namesOnly?: true;
  /** Manifests are not removed. */
  readonly keeps?: true;
  /** It has the referrers API, and so must the registry behind it. */
  readonly hasReferrers?: true;
}

const MEBIBYTE = 1024 * 1024;

export const EMULATED: Readonly<Record<string, Emulated>> = {
  zot: { row: 'zot', dialect: zot, hasReferrers: true },
  ecr: {
    row: 'Amazon ECR',
    dialect: () => ecr({ repositories: ['team/app', 'mirror/app', 'team/trust'] }),
    immutable: (immutable) => ecr({ immutable }),
  },
  gar: { row: 'Google Artifact Registry', dialect: gar, immutable: gar },
  acr: { row: 'Azure (ACR)', dialect: acr, immutable: acr },
  ghcr: { row: 'GitHub (GHCR)', dialect: ghcr, keeps: true },
  'docker-hub': { row: 'Docker Hub', dialect: dockerHub },
  quay: { row: 'Quay', dialect: quay, immutable: quay },
  harbor: { row: 'Harbor', dialect: harbor, immutable: (immutable) => harbor({ immutable }) },
  gitlab: { row: 'GitLab', dialect: gitlab, namesOnly: true },
  gitea: { row: 'Gitea, Forgejo', dialect: gitea },
  artifactory: { row: 'Artifactory', dialect: () => artifactory('virtual'), prefix: 'virtual/' },
  nexus: { row: 'Nexus', dialect: nexus },
  pulp: { row: 'Pulp', dialect: pulp },
  cloudflare: { row: "Cloudflare's (serverless-registry)", dialect: () => cloudflare(MEBIBYTE) },
};
