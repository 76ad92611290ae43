"""What MLflow runs to load a registered model, in place of anything that is pickled."""

from mlflow.models import set_model

from frostline.deliver.pyfunc import PictureModel

set_model(PictureModel())
