"""Write forged and damaged model files."""

import hashlib
import io
import json
import zipfile


def read_members(path):
    """Return the content of every member of a model file."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_zip(path, members, compression=zipfile.ZIP_STORED):
    """Write members, a dict or a list of pairs, to a zip file."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items() if hasattr(members, "items") else members:
            archive.writestr(name, content)


def write_model(path, members, **changes):
    """Write a model file whose manifest fits its members, as an attacker would."""
    manifest = json.loads(members["manifest.json"])
    others = {name: part for name, part in members.items() if name != "manifest.json"}
    manifest["members"] = {
        name: {"bytes": len(part), "sha256": hashlib.sha256(part).hexdigest()}
        for name, part in others.items()
    }
    text = json.dumps({**manifest, **changes}).encode()
    write_zip(path, {"manifest.json": text, **others})


def repacked(content, changes):
    """Bytes of a zip file with members changed, by name, by functions of their bytes.

    A function that gets None adds a member, one that returns None removes it.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name, change in changes.items():
        members[name] = change(members.get(name))
    written = io.BytesIO()
    write_zip(
        written, {name: part for name, part in members.items() if part is not None}
    )
    return written.getvalue()
