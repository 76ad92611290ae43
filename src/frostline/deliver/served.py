"""What MLflow runs to load a registered model, in place of anything that is pickled."""

import mlflow

from frostline.deliver.pyfunc import PictureModel

mlflow.models.set_model(PictureModel())
