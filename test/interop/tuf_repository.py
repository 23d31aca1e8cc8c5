"""Writes a TUF repository with python-tuf's Metadata API.

    tuf_repository.py DIR

DIR gets metadata/ and targets/, and keys/ROLE.pem with the private keys (PKCS#8). Two roots, the
second with other keys and a threshold of 2; a nested delegation; succinct bins; bins by hash prefix.
Prints one JSON object: targets by name, and key ids by the name of their key.
"""

import datetime
import hashlib
import json
import pathlib
import sys

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)

HOME = pathlib.Path(sys.argv[1])
EXPIRES = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(days=30)
KEYS = {
    "root-1": CryptoSigner.generate_ecdsa(),
    "root-2": CryptoSigner.generate_rsa(),
    "root-3": CryptoSigner.generate_ed25519(),
    "targets": CryptoSigner.generate_ed25519(),
    "online": CryptoSigner.generate_ecdsa(),
    "delegate": CryptoSigner.generate_rsa(),
    "nested": CryptoSigner.generate_ecdsa(),
    "bins": CryptoSigner.generate_ed25519(),
}
META = {}
FILES = {}


def target(name):
    data = f"content of {name}".encode()
    FILES[name] = data
    return TargetFile.from_data(name, data, ["sha256", "sha512"])


def key(name):
    return KEYS[name].public_key


def write(name, role, *signers):
    metadata = Metadata(role)
    for signer in signers:
        metadata.sign(KEYS[signer], append=True)
    path = HOME / "metadata" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata.to_file(str(path))


def delegated(name, **more):
    return DelegatedRole(name, [], 1, False, **more)


def main():
    root = Root(expires=EXPIRES, consistent_snapshot=True)
    root.add_key(key("root-1"), "root")
    root.add_key(key("targets"), "targets")
    for role in ("snapshot", "timestamp"):
        root.add_key(key("online"), role)
    root.unrecognized_fields["x-owner"] = {"name": "Zoë", "since": [2020, None, True]}
    write("1.root.json", root, "root-1")
    root.version = 2
    root.revoke_key(key("root-1").keyid, "root")
    for name in ("root-2", "root-3"):
        root.add_key(key(name), "root")
    root.roles["root"].threshold = 2
    write("2.root.json", root, "root-1", "root-2", "root-3")

    targets = Targets(expires=EXPIRES)
    targets.targets["top"] = target("top")
    targets.delegations = Delegations(
        {}, {name: delegated(name, paths=paths) for name, paths in {
            "a/b rôle": ["dir/*", "dir/*/*"], "succinct": ["v*"], "prefixes": ["p*"]}.items()}
    )
    for name in targets.delegations.roles:
        targets.add_key(key("delegate"), name)
    write("1.targets.json", targets, "targets")

    outer = Targets(expires=EXPIRES)
    outer.targets["dir/one"] = target("dir/one")
    outer.delegations = Delegations({}, {"nested": delegated("nested", paths=["dir/*/*"])})
    outer.add_key(key("nested"), "nested")
    write("1.a%2Fb%20r%C3%B4le.json", outer, "delegate")
    nested = Targets(expires=EXPIRES)
    nested.targets["dir/sub/two"] = target("dir/sub/two")
    write("1.nested.json", nested, "nested")

    succinct = Targets(expires=EXPIRES)
    layout = SuccinctRoles([], 1, 3, "bin")
    succinct.delegations = Delegations({}, succinct_roles=layout)
    succinct.add_key(key("bins"))
    write("1.succinct.json", succinct, "delegate")
    bins = {name: Targets(expires=EXPIRES) for name in layout.get_roles()}
    for i in range(20):
        bins[layout.get_role_for_target(f"v{i}")].targets[f"v{i}"] = target(f"v{i}")

    prefixes = Targets(expires=EXPIRES)
    hashed = {f"h{i:x}": delegated(f"h{i:x}", path_hash_prefixes=[f"{i:x}"]) for i in range(16)}
    prefixes.delegations = Delegations({}, hashed)
    for name in hashed:
        prefixes.add_key(key("bins"), name)
        bins[name] = Targets(expires=EXPIRES)
    write("1.prefixes.json", prefixes, "delegate")
    for i in range(8):
        name = f"p{i}"
        bins["h" + hashlib.sha256(name.encode()).hexdigest()[0]].targets[name] = target(name)
    for name, role in bins.items():
        write(f"1.{name}.json", role, "bins")

    snapshot = Snapshot(expires=EXPIRES)
    for name in ["targets", "a/b rôle", "nested", "succinct", "prefixes", *bins]:
        snapshot.meta[f"{name}.json"] = MetaFile(1)
    write("1.snapshot.json", snapshot, "online")
    timestamp = Timestamp(expires=EXPIRES)
    timestamp.snapshot_meta = MetaFile.from_data(
        1, (HOME / "metadata/1.snapshot.json").read_bytes(), ["sha256"])
    write("timestamp.json", timestamp, "online")

    for name, data in FILES.items():
        digest = hashlib.sha256(data).hexdigest()
        path = HOME / "targets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f"{digest}.{path.name}").write_bytes(data)
    for name, signer in KEYS.items():
        path = HOME / "keys" / f"{name}.pem"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(signer.private_bytes)
    print(json.dumps({
        "targets": {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()},
        "keyids": {name: signer.public_key.keyid for name, signer in KEYS.items()},
    }))


main()
