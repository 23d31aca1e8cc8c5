/** A command line, and what it does. */
export type Example = readonly [what: string, line: string];

/** Examples of a command, named by its words without `bulla`; shown by its help and in the manual page. */
export function examplesOf(path: string): readonly Example[] {
  const lines = (EXAMPLES.split(`\n\n[${path}]\n`)[1] ?? '').split('\n\n', 1)[0]?.split('\n') ?? [];
  const examples: Example[] = [];
  for (const [at, line] of lines.entries())
    if (line.startsWith('# ')) examples.push([line.slice(2), (lines[at + 1] ?? '').replaceAll('REPO', REPO)]);
  return examples;
}

const REPO = 'registry.example.com/team/app';

/** Two or more for each command: what it does, then the line. Only the first names of a group are listed for it. */
const EXAMPLES = `

[]
# sign an image, and its name if the repository has a trust collection
bulla sign REPO:v1
# verify it, and run exactly what was verified
podman run "$(bulla verify REPO:v1)"

[sign]
# sign an image with the default key, and its name if there is a trust collection
bulla sign REPO:v1
# sign with a certificate, so that notation verifies it; for 90 days
bulla sign REPO:v1 --key release --cert-chain release.pem --expires 90d
# sign several names in one change
bulla sign REPO:v1 REPO:latest

[attest]
# attach an SBOM to an image
bulla attest REPO:v1 --type spdxjson --predicate sbom.spdx.json --key release
# attach the provenance of a build
bulla attest REPO:v1 --type slsaprovenance1 --predicate provenance.json

[verify]
# verify a signed name by the root keys that are pinned, and print the digest to run
bulla verify REPO:v1
# require two detached signatures, with these keys
bulla verify REPO:v1 --key a.pub --key b.pub --threshold 2
# require a keyless signature
bulla verify REPO:v1 --certificate-identity ci@example.com --certificate-oidc-issuer https://accounts.example.com
# every image in Kubernetes manifests, and pin the verified digests there
bulla verify --k8s deploy.yaml --policy policy.yaml --write
# decide by a trust policy of Notation
bulla verify REPO:v1 --trust-policy ~/.config/notation/trustpolicy.json

[copy]
# copy an image, its signatures and its trust collection to another registry
bulla copy REPO:v1 mirror.example.com/team/app:v1
# copy all tags of a repository that are versions
bulla copy REPO mirror.example.com/team/app --all-tags --semver '*'
# copy only one platform, to an archive
bulla copy REPO:v1 oci-archive:app.tar --platform linux/amd64

[sync]
# copy everything that a file names, once, and print a report
bulla sync --config sync.yaml --once
# stay, and copy what is new every ten minutes
bulla sync --config sync.yaml --every 10m

[push]
# push what docker has built, and sign it
docker save app | bulla push - REPO:v1 --sign
# push a layout
bulla push oci:app:v1 REPO:v1

[pull]
# verify an image, and write it to an archive for podman or docker
bulla pull REPO:v1 app.tar
# verify it by a public key, and write it to a layout
bulla pull REPO:v1 oci:app --key release.pub

[revoke]
# remove a name: it can no longer be verified
bulla revoke REPO:v1
# remove the names in a file, one reference per line
bulla revoke --from old-names.txt

[init]
# create the trust collection of a repository, with new keys where there are none
bulla init REPO
# require two publishers for every name
bulla init REPO --names-key alice.pub --names-key bob.pub --threshold names=2
# publish what a ceremony has signed, after its root key was compared with the record
bulla init REPO --import-signed root.json --root-key-id $ROOT_KEY_ID

[ceremony]
# begin a collection with a root key on a token, on a machine without a network
bulla ceremony begin REPO --root-key pkcs11:object=root --publisher-key publisher.pub --online-key online.pub --out root.json
# sign a change that another machine has written with --export-unsigned
bulla ceremony sign change.json --key pkcs11:object=root

[ceremony begin]
# two of three people have to sign; each names a key and signs in turn
bulla ceremony begin REPO --root-key a.pub --root-key b.pub --root-key c.pub --threshold root=2 --publisher-key publisher.pub --online-key online.pub --out root.json
# a root for two years, by a key on a token
bulla ceremony begin REPO --root-key pkcs11:object=root --expires root=2y --publisher-key publisher.pub --online-key online.pub --out root.json

[ceremony sign]
# go on where others have signed, with the next key
bulla ceremony sign root.json
# without a question, what was compared before
bulla ceremony sign root.json --key root --person 'Ada Lovelace' --change $DIGEST --yes

[ceremony show]
# show what would be signed, and what is missing
bulla ceremony show root.json
# the same for programs
bulla ceremony show root.json -o json

[ls]
# list signed names with their digests and signers, then the unsigned tags
bulla ls REPO
# list every tag with its digest and size
bulla ls REPO --tags --long

[tree]
# draw an image with everything that refers to it
bulla tree REPO:v1
# draw the roles, keys and names of a trust collection
bulla tree REPO

[inspect]
# show the manifest and the configuration of an image
bulla inspect REPO:v1
# show the keys and files of a trust collection, as JSON
bulla inspect REPO -o json

[status]
# show what expires, waits or conflicts, and what to do about it
bulla status REPO
# in monitoring: fail if something expires within 20 days, conflicts or waits
bulla status REPO --check --warn-before 20d
# the same for every repository that is pinned on this machine: a line for each, one exit status
bulla status --all --check

[log]
# show who changed which name, and when
bulla log REPO
# show the last changes of one name
bulla log REPO --name v1 --max 5

[report]
# write the state of two collections as web pages
bulla report REPO registry.example.com/team/web --html report
# in a scheduled job: report on everything that the re-signer serves
bulla report --config resigner.yaml --html /srv/www/trust --check

[import]
# move a repository away from Docker Content Trust
bulla import notary REPO --server https://notary.example.com
# only show what would be imported
bulla import notary REPO --server https://notary.example.com --check

[import notary]
# import names, signers and, if the key is there, the old root
bulla import notary REPO --server https://notary.example.com --keys ~/.docker/trust/private
# import from a dump, and only show what would change
bulla import notary REPO --from dump --dry-run

[export]
# write a trust collection as a TUF repository
bulla export tuf REPO tuf
# save trust data of Docker Content Trust
bulla export notary-dump dump REPO --server https://notary.example.com

[export tuf]
# write the metadata of a collection, for any TUF client
bulla export tuf REPO tuf
# write the manifests that the names mean, too
bulla export tuf REPO tuf --targets

[export notary-dump]
# save the trust data of one repository
bulla export notary-dump dump REPO --server https://notary.example.com
# save those in a file, one name per line; run it again to resume
bulla export notary-dump dump --from repositories.txt --server https://notary.example.com

[signer]
# let Alice sign names
bulla signer add REPO alice --key alice.pub
# list who may sign names
bulla signer ls REPO

[signer add]
# let Alice sign names such as v1.2, and no others
bulla signer add REPO alice --key alice.pub --path 'v1.*'
# require two of three keys
bulla signer add REPO farm --key a.pub --key b.pub --key c.pub --threshold 2

[signer rm]
# remove a signer; names that only this signer has signed are no longer signed
bulla signer rm REPO alice
# the root key is on another machine: write the change to a file
bulla signer rm REPO alice --export-unsigned change.json

[signer ls]
# list signers with their keys and patterns
bulla signer ls REPO
# the same as JSON
bulla signer ls REPO -o json

[rotate]
# replace the key of the publishers
bulla rotate REPO names --key new.pub
# extend the lifetime of the root with the same keys
bulla rotate REPO root --renew

[pending]
# list the changes that wait for signatures, and who may sign
bulla pending REPO
# show every new name in them
bulla pending REPO --all

[approve]
# sign a staged change, after it was shown
bulla approve REPO 3f2a91c04d1e
# on a machine without a network: sign a change in a file
bulla approve change.json --out signed.json

[withdraw]
# take back a staged change
bulla withdraw REPO 3f2a91c04d1e
# in a script, with a key that may sign it
bulla withdraw REPO 3f2a91c04d1e --key publisher --yes

[signature]
# list the signatures of an image
bulla signature ls REPO:v1
# remove all of them
bulla signature rm REPO:v1 --all

[signature ls]
# list the signatures of an image, with formats, keys and annotations
bulla signature ls REPO:v1
# those of an image in a layout, as JSON
bulla signature ls oci:app:v1 -o json

[signature rm]
# remove one signature, by its digest in signature ls
bulla signature rm REPO:v1 sha256:4b227777d4dd1fc61c6f884f48641d02b4d121d3fd328cb08b5531fcacdabf8a
# remove all signatures of an image
bulla signature rm REPO:v1 --all

[key]
# make a key, and list the keys
bulla key generate release
# show a key: its ids, and its certificate
bulla key show release

[key generate]
# make a P-256 key in the key store, encrypted with a passphrase
bulla key generate release
# make an Ed25519 key, for trust collections
bulla key generate publisher --type ed25519

[key passwd]
# change the passphrase of a key
bulla key passwd release
# read the old and the new one from file descriptors
bulla key passwd release --passphrase-fd 3 --new-passphrase-fd 4

[key default]
# sign with this key if no other is given
bulla key default release
# show which key that is
bulla key default

[key rm]
# remove a key with its certificate
bulla key rm release
# remove two, one of which is the default key
bulla key rm old release --force

[key ls]
# list the keys of the key store
bulla key ls
# the same as JSON, with certificates
bulla key ls -o json

[key report]
# which key signs what in two collections, and what would be lost with it
bulla key report REPO registry.example.com/team/web
# the same for all collections that a re-signer cares for
bulla key report --config resigner.yaml -o json

[key show]
# show a key of the key store
bulla key show release
# show the id of a public key in trust collections
bulla key show alice.pub

[key import]
# import the key of cosign
bulla key import cosign.key release
# import a key with its certificate chain
bulla key import release.pem release --cert-chain chain.pem

[key export]
# write the public key, for those who verify
bulla key export release --public --out release.pub
# write the certificate chain
bulla key export release --cert --out release-chain.pem

[key csr]
# write a certificate request for a key
bulla key csr release --subject "C=DE, O=Acme, CN=release" --out release.csr
# the same for a key in a file
bulla key csr --key release.pem --subject "CN=release"

[key cert]
# give a key the certificate chain that a CA has issued
bulla key cert release --chain release-chain.pem
# give it a self-signed certificate for a year
bulla key cert release --self-signed --subject "C=DE, ST=Berlin, O=Acme, CN=release" --days 365

[policy]
# begin with the images in use
bulla policy init --k8s deploy.yaml --write policy.yaml
# check a policy file
bulla policy check policy.yaml
# show which rule holds for an image
bulla policy explain REPO:v1 --policy policy.yaml

[policy check]
# check a policy file and the keys and roots that it names
bulla policy check policy.yaml
# the same in CI, as JSON
bulla policy check policy.yaml -o json

[policy explain]
# show which rule holds for an image, and what is there
bulla policy explain REPO:v1 --policy policy.yaml
# the same as JSON
bulla policy explain REPO:v1 --policy policy.yaml -o json

[policy init]
# begin with the images in use
bulla policy init --k8s deploy.yaml --write policy.yaml
# the same for what Helm would install
helm template my-release ./chart | bulla policy init --k8s - > policy.yaml
# for single images, signed by a key that you know
bulla policy init REPO:v1 REPO:v2 --key release.pub

[policy import]
# carry over a policy of Notation, podman, Connaisseur, or Kyverno
bulla policy import trustpolicy.json > policy.yaml
# the same, with trust stores that are elsewhere
bulla policy import trustpolicy.json --trust-store ~/.config/notation/truststore/x509

[gate]
# let containerd ask before each pull
bulla gate containerd --install /opt/bulla/verifiers --policy /etc/bulla/policy.yaml
# the same, with more time for a decision
bulla gate containerd --install /opt/bulla/verifiers --policy /etc/bulla/policy.yaml --within 20s

[gate containerd]
# let containerd ask before each pull
bulla gate containerd --install /opt/bulla/verifiers --policy /etc/bulla/policy.yaml
# the same, with more time for a decision
bulla gate containerd --install /opt/bulla/verifiers --policy /etc/bulla/policy.yaml --within 20s
# ask a gate that runs on the node first
bulla gate containerd --install /opt/bulla/verifiers --policy /etc/bulla/policy.yaml --socket /run/bulla/gate.sock

[policy test]
# compare what a policy decides with what a file of cases expects
bulla policy test cases.txt --policy policy.yaml
# only print failures
bulla policy test cases.txt --policy policy.yaml --quiet

[pin]
# show the root key ids that are found in the registry
bulla pin REPO
# pin them, after you have compared them with those that bulla init printed
bulla pin REPO --root-key-id ef1360f1a9b8c7d6e5f40312a4b5c6d7e8f90123456789abcdef0123456789ab
# trust the root keys of all repositories of a team that a CA certifies
bulla pin 'registry.example.com/team/*' --ca acme.pem

[pin ls]
# list the trust roots of this machine
bulla pin ls
# the same as JSON
bulla pin ls -o json

[pin rm]
# remove a pin, and forget what was seen there
bulla pin rm REPO
# remove the pin of a prefix
bulla pin rm 'registry.example.com/team/*'

[tuf]
# begin to trust a TUF repository
bulla tuf init https://tuf.example.com/metadata root.json
# download and verify a file
bulla tuf get https://tuf.example.com/metadata app.tar.gz --targets https://tuf.example.com/targets

[tuf init]
# trust the repository by its root, which you have checked
bulla tuf init https://tuf.example.com/metadata root.json
# a repository in a directory; the state goes to another one
bulla tuf init ./tuf/metadata root.json --state ./state

[tuf refresh]
# update the trusted metadata
bulla tuf refresh https://tuf.example.com/metadata
# the same, with the state in another directory
bulla tuf refresh ./tuf/metadata --state ./state

[tuf get]
# download and verify a file
bulla tuf get https://tuf.example.com/metadata app.tar.gz --targets https://tuf.example.com/targets
# write it to another directory
bulla tuf get ./tuf/metadata app.tar.gz --targets ./tuf/targets --dir downloads

[check]
# show what a registry supports, without writing
bulla check registry.example.com
# also test pushing, in a repository
bulla check REPO --write

[login]
# store the credentials of a registry; the password is prompted for
bulla login registry.example.com --username ci
# in CI, from standard input
echo "$TOKEN" | bulla login registry.example.com --username ci --password-stdin

[logout]
# remove the credentials of a registry
bulla logout registry.example.com
# the same for a registry with a port
bulla logout localhost:5000

[docker-trust]
# sign a tag, as docker trust sign does
bulla docker-trust sign REPO:v1
# show signers and signed tags
bulla docker-trust inspect REPO --pretty

[docker-trust key]
# make a signing key
bulla docker-trust key generate alice
# load one from a file
bulla docker-trust key load alice.pem --name alice

[docker-trust key generate]
# make a key, and write its public key to alice.pub
bulla docker-trust key generate alice
# write the public key to another directory
bulla docker-trust key generate alice --dir keys

[docker-trust key load]
# load a private key
bulla docker-trust key load alice.pem
# load it under a name
bulla docker-trust key load alice.pem --name alice

[docker-trust signer]
# add a signer
bulla docker-trust signer add --key alice.pub alice REPO
# remove a signer
bulla docker-trust signer remove alice REPO

[docker-trust signer add]
# let Alice sign the tags of a repository
bulla docker-trust signer add --key alice.pub alice REPO
# of two repositories
bulla docker-trust signer add --key alice.pub alice REPO registry.example.com/team/web

[docker-trust signer remove]
# remove a signer
bulla docker-trust signer remove alice REPO
# without a question
bulla docker-trust signer remove --force alice REPO

[docker-trust sign]
# sign a tag with every available key
bulla docker-trust sign REPO:v1
# push and sign an image of the local docker
bulla docker-trust sign --local REPO:v1

[docker-trust revoke]
# remove the signature of a tag
bulla docker-trust revoke REPO:v1
# of all tags, without a question
bulla docker-trust revoke --yes REPO

[docker-trust inspect]
# show signers and signed tags for people
bulla docker-trust inspect --pretty REPO
# the same as JSON
bulla docker-trust inspect REPO:v1

[docker-trust install-plugin]
# make docker trust call bulla
bulla docker-trust install-plugin
# in another directory of plug-ins
bulla docker-trust install-plugin --dir /usr/local/lib/docker/cli-plugins

[recover]
# ask what was lost, and print the commands that lead out of it, in order
bulla recover REPO
# the same as JSON
bulla recover REPO -o json

[resign]
# re-sign a collection that is about to expire; for a cron job
bulla resign REPO
# all collections of a configuration
bulla resign --config resigner.yaml --all

[serve]
# keep trust collections fresh
bulla serve resigner --config resigner.yaml
# serve a registry from a directory
bulla serve registry --dir ./registry

[serve registry]
# serve a registry on 127.0.0.1
bulla serve registry --dir ./registry --port 5000
# with TLS and passwords, and keep its collections fresh
bulla serve registry --dir ./registry --addr 0.0.0.0:443 --tls-cert tls.pem --tls-key tls.key --htpasswd users --resign-key online

[serve registry gc]
# show what would be removed
bulla serve registry gc --dir ./registry --dry-run
# remove content that nothing refers to
bulla serve registry gc --dir ./registry

[serve gate]
# with a certificate that was made for the Service of the webhook
bulla serve gate --policy policy.yaml --tls-cert tls.crt --tls-key tls.key
# in a cluster: a certificate of its own, and the policy from a ConfigMap
bulla serve gate --policy policy.yaml --policy-configmap bulla/policy --self-signed bulla/gate --webhook-configuration gate

[serve resigner]
# keep the collections of a configuration fresh
bulla serve resigner --config resigner.yaml
# one of two processes that share the work
bulla serve resigner --config resigner.yaml --shard 0/2

[completion]
# complete commands, options, keys and tags in bash
bulla completion bash > ~/.local/share/bash-completion/completions/bulla
# in zsh
bulla completion zsh > ~/.zfunc/_bulla
# in fish
bulla completion fish > ~/.config/fish/completions/bulla.fish

`;
