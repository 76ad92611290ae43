"""MLflow's registry: a model under a name, whose newest version is the champion; and back from a name to a folder."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from frostline.errors import FrostlineError
from frostline.tracking.base import ToldModel
from frostline.tracking.parents import MOST_TEXT, held, of_cells
from frostline.tracking.store import check_reached, open_experiment, refusing, without_password

ALIAS = "champion"
COLUMN = "picture"  # of what a model is given
ARTIFACT = "model"  # by which its code finds the folder
WEIGHTS = "frostline.weights"
ADDRESS = "models:/"
REGISTRIES = re.compile(r"(https?|sqlite|postgresql|mysql|mssql)(\+\w+)?:")  # a store of plain files has none


def has_registry(uri: str) -> bool:
    return REGISTRIES.match(uri) is not None


def register(uri: str, told: ToldModel) -> str:
    """Make it a version of its name, the champion; returns the version's number.

    The model that is the champion already stays the same version. Raises FrostlineError where the store cannot be used.
    """
    experiment = open_experiment(uri, told.study)
    with refusing(uri):
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        client = MlflowClient(uri)
        try:
            client.create_registered_model(told.name, description=f"The champion of the study {told.study}.")
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        known = _champion(client, told.name)
        if known is not None and known.tags.get(WEIGHTS) == told.weights:
            client.update_model_version(told.name, known.version, told.description[:MOST_TEXT])
            return str(known.version)
        run = of_cells(held(client, experiment)).get(told.cell)
        model = _logged(client, experiment, told, run.info.run_id if run else None)
        # A server takes an address outside its runs only by its model; without one, MLflow would look for that model in
        # the store of the environment, whichever this is.
        at_server = uri.startswith("http")
        made = client.create_model_version(
            told.name,
            f"{ADDRESS}{model.model_id}" if at_server else model.artifact_location,
            run_id=model.source_run_id,
            tags={**told.tags, WEIGHTS: told.weights},
            description=told.description[:MOST_TEXT],
            model_id=model.model_id if at_server else None,
        )
        versions = [{"name": told.name, "version": made.version}]  # by which MLflow's pages link the two
        client.set_logged_model_tags(model.model_id, {"mlflow.modelVersions": json.dumps(versions)})
        client.set_registered_model_alias(told.name, ALIAS, made.version)
    return str(made.version)


def _champion(client: Any, name: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, ALIAS)
    except MlflowException:  # there is none yet
        return None


def _logged(client: Any, experiment: str, told: ToldModel, run: str | None) -> Any:
    """MLflow's own model of the folder, put where the store keeps such. run: that it comes from, where it is known."""
    import pandas as pd
    from mlflow.entities import LoggedModelStatus
    from mlflow.models import Model, ModelSignature
    from mlflow.pyfunc import save_model
    from mlflow.types.schema import AnyType, ColSpec, Schema

    # Of any type, as MLflow else decodes base64 in some forms of a request and not in others (mlflow#11170).
    signature = ModelSignature(Schema([ColSpec(AnyType(), COLUMN)]), Schema([ColSpec(AnyType())]))
    model = client.create_logged_model(experiment, told.name, run, dict(told.tags), model_type="frostline")
    try:
        with TemporaryDirectory() as folder:
            place = Path(folder) / "model"
            save_model(
                str(place),
                mlflow_model=Model(artifact_path=model.artifact_location, run_id=run, model_id=model.model_id),
                python_model=str(told.code),
                artifacts={ARTIFACT: str(told.folder)},
                code_paths=[str(told.package)],
                pip_requirements=list(told.requirements),
                signature=signature,
                input_example=pd.DataFrame({COLUMN: [b64encode(told.example).decode()]}),
            )
            client.log_model_artifacts(model.model_id, str(place))
    except BaseException:
        client.finalize_logged_model(model.model_id, LoggedModelStatus.FAILED)
        raise
    return client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)


@contextmanager
def fetched(address: str, uri: str) -> Iterator[Path]:
    """The folder of a registered model, for as long as the block lasts.

    address: such as `models:/NAME@champion` or `models:/NAME/3`. uri: of the store. No code that comes with it runs.
    Raises FrostlineError where there is no such model, or none of Frostline's.
    """
    shown = without_password(uri)
    file = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:") and not file.is_file():
        raise FrostlineError(
            f"{address} is looked for in {shown}, and there is no such file: register it by `frostline champion`, or "
            "say in MLFLOW_TRACKING_URI where it is."
        )
    check_reached(uri)
    with TemporaryDirectory() as folder:
        with refusing(uri):
            from mlflow import MlflowClient
            from mlflow.artifacts import download_artifacts
            from mlflow.exceptions import MlflowException

            try:
                # MLflow itself looks for models:/ in the store of the environment, whichever it is given.
                source = _source(MlflowClient(uri), address)
                place = Path(download_artifacts(source, dst_path=folder, tracking_uri=uri))
            except MlflowException as error:
                if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    raise
                raise FrostlineError(
                    f"{address} is not in the registry of {shown} ({str(error.message).splitlines()[0]}): register it "
                    "by `frostline champion`, or say in MLFLOW_TRACKING_URI where it is."
                ) from error
        models = sorted(place.glob("artifacts/*/model.json"))
        if not models:
            raise FrostlineError(f"{address} is no model of Frostline's: register one by `frostline champion`.")
        yield models[0].parent


def _source(client: Any, address: str) -> str:
    """Where the artifacts of a registered model lie."""
    name, at, alias = address.removeprefix(ADDRESS).partition("@")
    if at:
        version = client.get_model_version_by_alias(name, alias).version
    else:
        name, _, version = name.partition("/")
        if not name or not version.isdecimal():
            raise FrostlineError(f"{address} names no model: write {ADDRESS}NAME@{ALIAS}, or {ADDRESS}NAME/1.")
    source = str(client.get_model_version_download_uri(name, version))
    if source.startswith(ADDRESS):  # of a model that was logged, and registered by another way
        source = str(client.get_logged_model(source.removeprefix(ADDRESS)).artifact_location)
    return source
