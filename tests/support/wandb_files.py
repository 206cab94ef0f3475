"""Reading back what wandb keeps of a run offline: LevelDB's log format behind a header of seven bytes."""

import json
import struct

BLOCK = 32768


def records(path):
    from wandb.proto import wandb_internal_pb2

    data, at, part = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        left = BLOCK - at % BLOCK
        if left < 7:
            at += left
            continue
        _, size, kind = struct.unpack_from("<IHB", data, at)
        if kind == 0:
            return
        part += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # the whole of a record, or its last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(part)
            part = b""
            yield record


def offline_runs(folder):
    """Return a mapping for each run below a folder: id, what it was begun with, rows of epochs, and the summary."""
    return [_run(path) for path in sorted(folder.rglob("offline-run-*/*.wandb"))]


def _run(path):
    found = {"rows": [], "summary": {}, "files": sorted(one.name for one in path.parent.rglob("*.jpg"))}
    for record in records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run = record.run
            config = {item.key: json.loads(item.value_json) for item in run.config.update if item.key != "_wandb"}
            found.update(
                id=run.run_id,
                project=run.project,
                group=run.run_group,
                name=run.display_name,
                notes=run.notes,
                tags=list(run.tags),
                config=config,
            )
        elif kind == "history":
            found["rows"].append(_values(record.history.item))
        elif kind == "summary":
            found["summary"].update(_values(record.summary.update))
        elif kind == "exit":
            found["exit"] = record.exit.exit_code
    return found


def _values(items):
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
