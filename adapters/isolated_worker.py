# ruff: noqa: PTH100, PTH119, PTH120, UP006, UP035
"""The other end of `adapters.isolated`: runs under an interpreter of its own, beside packages that mibench cannot have.

For Python 3.6 and later, and by itself: of mibench it imports nothing, and numpy is all that it needs before the
package that it is there for. It reads one request a line from its input and answers each with one line, both JSON;
arrays travel as .npy files whose paths are in the lines.

    {"do": "load", "checkpoint": PATH, "device": "cpu", "script": PATH or null}   -> {"ok": true, "about": {...}}
    {"do": "embed", "input": PATH, "output": PATH}                                -> {"ok": true}

Its first line, before any request, is {"ready": true}. What goes wrong is answered with {"ok": false, "error": TEXT}.
It ends when its input does, so that it never outlives the program that asks.
"""

import os
import sys

# The folder of this file holds modules of mibench, one of which is called as one of Python's own.
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or os.curdir) != HERE]

import json  # noqa: E402
import platform  # noqa: E402
import runpy  # noqa: E402
import traceback  # noqa: E402
from typing import Any, Callable, Dict, Tuple  # noqa: E402

Features = Callable[[Any], Any]


def fairseq_signals(checkpoint: str, device: str) -> Tuple[Features, Dict[str, Any]]:
    """The frozen encoder of a fairseq-signals checkpoint, pre-trained or fine-tuned, and what was found.

    Returns:
        a function from (batch, leads, samples) float32 to (batch, features): the mean over time of the last layer,
        zeros left out, as the package's own classifier pools.
    """
    from fairseq_signals.models import build_model_from_checkpoint  # type: ignore[import-not-found,unused-ignore]

    model = build_model_from_checkpoint(checkpoint)
    # After the package, so that its absence is known at once.
    import torch

    # A fine-tuned model is a head around the encoder that was pre-trained.
    network = model if hasattr(model, "feature_extractor") else model.encoder
    network = network.to(device).eval()

    def features(ecg: Any) -> Any:
        with torch.no_grad():
            hidden = network.extract_features(torch.from_numpy(ecg).to(device), None)["x"].float()
            present = (hidden != 0).sum(dim=1).clamp(min=1)
            return (hidden.sum(dim=1) / present).cpu().numpy()

    about = {
        "program": f"fairseq-signals, {type(network).__name__}",
        "torch": torch.__version__,
        "tensors": len(network.state_dict()),
    }
    return features, about


def own_script(path: str, checkpoint: str, device: str) -> Tuple[Features, Dict[str, Any]]:
    """The same by a script of the user's: its `load(checkpoint, device)` returns the function."""
    return runpy.run_path(path)["load"](checkpoint, device), {"program": os.path.basename(path)}


def load(request: Dict[str, Any]) -> Tuple[Features, Dict[str, Any]]:
    """What a load request asks for."""
    script = request.get("script")
    if script:
        features, about = own_script(script, request["checkpoint"], request["device"])
    else:
        features, about = fairseq_signals(request["checkpoint"], request["device"])
    about["python"] = platform.python_version()
    return features, about


def serve(requests: Any, answers: Any) -> None:
    """Answer requests until there are no more."""
    import numpy as np

    def answer(**values: Any) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    answer(ready=True)
    features = None  # type: Any
    for line in iter(requests.readline, ""):
        request = json.loads(line)
        try:
            if request["do"] == "load":
                features, about = load(request)
                answer(ok=True, about=about)
            else:
                found = features(np.load(request["input"], allow_pickle=False))
                np.save(request["output"], np.asarray(found, dtype=np.float32))
                answer(ok=True)
        except Exception as problem:
            traceback.print_exc()
            sys.stderr.flush()
            missing = getattr(problem, "name", None) if isinstance(problem, ModuleNotFoundError) else None
            answer(ok=False, error=f"{type(problem).__name__}: {problem}", missing=missing)


def main() -> None:
    """Keep the way to the asking program to ourselves: what any package prints goes to the error output."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
