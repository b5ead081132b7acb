"""Models from a folder or from the Hugging Face hub; what goes wrong becomes a sentence.

Files are only read: safetensors where a model has them, else torch's own format with
`weights_only`, as both libraries do by themselves; code that a repository carries is never run.
"""

from __future__ import annotations

import errno
import importlib
import importlib.util
import json
import pickle
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from chorus.errors import BadInput, ChorusError, Unavailable
from chorus.files import DiskFull
from chorus.models.hub_cache import damaged_safetensors, repository_folder
from chorus.models.variants import only_variant

Model = TypeVar("Model")

# Of which of the loader's classes the loading report tells what the weights lacked.
_NETWORKS = {"PreTrainedModel", "_BaseAutoModelClass", "ModelMixin"}
_PIPELINES = {"DiffusionPipeline", "AutoPipelineForText2Image"}
# A pipeline's arguments that its parts take as well.
_SHARED = ("cache_dir", "dtype", "local_files_only", "revision", "token", "torch_dtype", "variant")


def load(loader: Callable[..., Model], source: str, **arguments: Any) -> Model:
    """loader(source, **arguments), for instance `AutoModel.from_pretrained`.

    source: a folder in the loader's format, or owner/name on the hub. Of `from_pretrained` of a
    network or of a diffusers pipeline every parameter must come from the source: the libraries
    themselves only warn, and leave the others random. Raises Unavailable for a missing folder or
    repository, a gated one without a token, and no network; BadInput for damaged or half-written
    files and for weights of another architecture, naming the first key that differs; DiskFull.
    """
    source = str(source)
    _check_folder(source)
    try:
        lineage = _lineage(loader)
        if lineage and not arguments.get("local_files_only"):
            _check_reachable(source)
        if lineage & _PIPELINES:
            return loader(source, **arguments, **_parts(source, arguments))
        if lineage & _NETWORKS:
            return _whole_network(loader, source, **arguments)
        return loader(source, **arguments)
    except ChorusError:
        raise
    # The libraries raise plain Exception, too (tokenizers); what is not known is raised as it is.
    except Exception as error:
        explained = _explained(error, source)
        if explained is None:
            raise
        raise explained from error


def _check_folder(source: str) -> None:
    path = Path(source)
    if path.is_file():
        raise BadInput(f"{source} is a file; give the folder that save_pretrained wrote.")
    if path.is_dir():
        if not any(path.iterdir()):
            raise BadInput(f"{source} is an empty folder; give one that save_pretrained wrote.")
        return
    if source.startswith((".", "/", "~")) or source.count("/") > 1 or "\\" in source or not source:
        raise Unavailable(
            f"the folder {source or '(empty name)'} is not there; give a folder that "
            "save_pretrained wrote, or owner/name of a repository on the Hugging Face hub."
        )


def _check_reachable(source: str) -> None:
    """One request for a repository that is not cached; the loaders would try for half a minute.

    Any answer will do, what it says the loader hears as well.
    """
    if Path(source).is_dir() or repository_folder(source) is not None:
        return
    from huggingface_hub import constants, get_session

    get_session().head(f"{constants.ENDPOINT}/{source}", timeout=constants.HF_HUB_ETAG_TIMEOUT)


def _lineage(loader: Callable) -> set[str]:
    """The names of the classes whose from_pretrained this is; none for other functions."""
    owner = getattr(loader, "__self__", None)
    if not isinstance(owner, type) or getattr(loader, "__name__", "") != "from_pretrained":
        return set()
    return {base.__name__ for base in owner.__mro__}


def _whole_network(loader: Callable[..., Any], source: str, **arguments: Any) -> Any:
    where = "/".join(filter(None, (source, arguments.get("subfolder"))))
    options = {**arguments, "output_loading_info": True, "ignore_mismatched_sizes": True}
    if not options.get("variant") and (variant := only_variant(Path(where))):
        options["variant"] = variant
    network, report = loader(source, **options)
    shapes = {
        key: (list(stored), list(expected)) for key, stored, expected in report["mismatched_keys"]
    }
    missing = set(report["missing_keys"])
    name = type(network).__name__
    # In the network's own order; keys under another name than the network's come last.
    for key in [*network.state_dict(), *sorted(missing), *shapes]:
        if key in missing:
            raise BadInput(f"{where} holds the weights of another network: {name} needs {key}.")
        if key in shapes:
            stored, expected = shapes[key]
            raise BadInput(
                f"{where} holds the weights of another network: {key} has the shape {stored}, "
                f"{name} needs {expected}."
            )
    if report.get("error_msgs"):
        raise BadInput(f"{where} could not be loaded: {report['error_msgs'][0]}.")
    if arguments.get("output_loading_info"):
        return network, report
    return network


def _parts(source: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The networks of a pipeline that `arguments` do not give, each loaded whole."""
    import torch
    from diffusers import DiffusionPipeline

    shared = {key: arguments[key] for key in _SHARED if key in arguments}
    if not shared.keys() & {"dtype", "torch_dtype"}:
        shared["dtype"] = torch.float32  # a pipeline's default; transformers' is the file's
    folder = source
    if not Path(source).is_dir():
        # parts that are given (safety_checker=None, say) are not fetched
        of_loading = {"dtype", "torch_dtype", "low_cpu_mem_usage"}
        download_arguments = {
            key: value for key, value in arguments.items() if key not in of_loading
        }
        folder = DiffusionPipeline.download(source, **download_arguments)
    parts = {}
    for part, entry in DiffusionPipeline.load_config(folder).items():
        if part in arguments or not _names_class(entry):
            continue
        network_class = _part_class(*entry)
        lineage = _lineage(getattr(network_class, "from_pretrained", None))
        if not lineage & _NETWORKS:
            continue
        more = dict(shared)
        if "ModelMixin" in lineage and "low_cpu_mem_usage" in arguments:
            more["low_cpu_mem_usage"] = arguments["low_cpu_mem_usage"]
        network = _whole_network(network_class.from_pretrained, str(folder), subfolder=part, **more)
        # of a pipeline's own classes diffusers says at length that it cannot know them
        if entry[0] in ("diffusers", "transformers"):
            parts[part] = network
    return parts


def _names_class(entry: Any) -> bool:
    return isinstance(entry, list) and len(entry) == 2 and all(isinstance(e, str) for e in entry)


def _part_class(library: str, name: str) -> Any:
    """A class of transformers or diffusers; None for others, which the pipeline itself judges."""
    if library not in ("diffusers", "transformers"):
        library = f"diffusers.pipelines.{library}"
        if importlib.util.find_spec(library) is None:
            return None
    return getattr(importlib.import_module(library), name, None)


def _explained(error: Exception, source: str) -> ChorusError | None:
    """The error for people; None for one that is no fault of the source or the surroundings."""
    chain = list(_chain(error))
    return (
        _of_disk(chain, source)
        or _of_hub(chain, source)
        or _of_files(chain, source)
        or _of_format(error, source)
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _of_disk(chain: list[BaseException], source: str) -> ChorusError | None:
    for error in chain:
        number = getattr(error, "errno", None)
        if number in (errno.ENOSPC, errno.EDQUOT):
            return DiskFull(
                f"the disk is full: {source} could not be fetched into {_cache()}. Free some space "
                "or name another place in HF_HOME, and run the same command again."
            )
        if number in (errno.EACCES, errno.EROFS) and not Path(source).exists():
            return Unavailable(
                f"the hub's cache {_cache()} cannot be written ({error.strerror}); name another "
                "place in HF_HOME."
            )
    return None


def _of_hub(chain: list[BaseException], source: str) -> ChorusError | None:
    from huggingface_hub import constants, errors

    page = f"https://huggingface.co/{source}"
    logged_in = "log in with `hf auth login` or set HF_TOKEN"
    status = {_status(error) for error in chain} - {None}
    if Path(source).is_dir():
        return None
    if _any(chain, errors.GatedRepoError):
        return Unavailable(
            f"{source} is gated: accept its licence at {page} with your account, then {logged_in}."
        )
    if _any(chain, errors.RepositoryNotFoundError, errors.HFValidationError):
        return Unavailable(
            f"{source} is neither a folder here nor a repository of the Hugging Face hub; check "
            f"the name. If it is private, {logged_in}."
        )
    if status & {401, 403}:
        return Unavailable(
            f"the Hugging Face hub refused {source} (status {min(status)}): {logged_in} with a "
            f"token that may read {page}."
        )
    absent = _any(chain, errors.LocalEntryNotFoundError)
    if _any(chain, errors.OfflineModeIsEnabled) or (absent and constants.HF_HUB_OFFLINE):
        return Unavailable(
            f"{source} is not in the hub's cache {_cache()}, and HF_HUB_OFFLINE forbids to fetch "
            "it; unset the variable and run the same command again."
        )
    if status and min(status) >= 429:
        return Unavailable(
            f"the Hugging Face hub could not serve {source} (status {min(status)}); rerun later."
        )
    if _any(chain, errors.RemoteEntryNotFoundError) and not _any(chain, ConnectionError):
        return BadInput(f"{source} lacks a file that its loader needs: {_first_line(chain[0])}.")
    if absent or _any(chain, ConnectionError, TimeoutError, *_transport_errors()):
        return Unavailable(
            f"{source} is not in the hub's cache {_cache()}, and the Hugging Face hub cannot be "
            "reached: check the network and run the same command again, or give a folder that "
            "holds a copy."
        )
    return None


def _transport_errors() -> tuple[type[BaseException], ...]:
    """What the hub's client raises where no answer comes; its HTTP library changed its name."""
    for name in ("httpx2", "httpx"):
        if importlib.util.find_spec(name) is not None:
            return (importlib.import_module(name).TransportError,)
    return ()


def _of_files(chain: list[BaseException], source: str) -> ChorusError | None:
    folder = Path(source) if Path(source).is_dir() else repository_folder(source)
    damaged = damaged_safetensors(folder) if folder else []
    if damaged:
        path, problem = damaged[0]
        return BadInput(f"{path} is damaged: {problem}; {_again(source)}")
    for error in chain:
        kind = type(error).__name__
        broken = isinstance(error, json.JSONDecodeError | EOFError | pickle.UnpicklingError)
        if broken or kind == "SafetensorError" or "PytorchStreamReader" in str(error):
            return BadInput(
                f"a file of {source} is damaged ({kind}: {_first_line(error)}); {_again(source)}"
            )
        if isinstance(error, OSError) and "valid JSON" in str(error):
            return BadInput(f"{_first_line(error).rstrip('.')}; {_again(source)}")
    for error in chain:
        if isinstance(error, FileNotFoundError) and error.filename:
            return BadInput(f"{source} lacks {error.filename}; {_again(source)}")
    return None


def _of_format(error: Exception, source: str) -> ChorusError | None:
    if isinstance(error, ImportError):
        return Unavailable(
            f"{source} needs a package that is not installed: {_first_line(error)} (see "
            "INSTALL.md; `chorus doctor` lists what is missing)."
        )
    if type(error).__name__ == "OutOfMemoryError":
        return None
    # tokenizers raises Exception itself, transformers' checks of a configuration an error of
    # their own
    of_configuration = type(error) is Exception or type(error).__name__.startswith(
        "StrictDataclass"
    )
    if of_configuration or isinstance(error, OSError | ValueError | RuntimeError | KeyError):
        reason = f"{type(error).__name__}: {_first_line(error)}"
        return BadInput(f"{source} does not hold what its loader expects ({reason}).")
    return None


def _again(source: str) -> str:
    if Path(source).is_dir():
        return "copy or save the folder again."
    return f"fetch it again with: hf download {source} --force-download"


def _status(error: BaseException) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


def _any(chain: list[BaseException], *kinds: type[BaseException]) -> bool:
    return any(isinstance(error, kinds) for error in chain)


def _cache() -> str:
    from huggingface_hub import constants

    return str(constants.HF_HUB_CACHE)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (" ".join(lines[:2]) or type(error).__name__)[:300].rstrip(".")
