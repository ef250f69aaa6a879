"""What every optimizer is given."""

from typing import Annotated, Any

# Two groups as torch.optim takes them: the weights, and the biases and norm parameters that weight decay spares.
ParameterGroups = list[dict[str, Any]]

Rate = Annotated[float, "(0, inf)"]
Share = Annotated[float, "[0, 1)"]
NotNegative = Annotated[float, "[0, inf)"]
