from .architectures import VICTIMS, ConvNorm, Normalise, build_network, channel_statistics, cnn6
from .checks import MANY, check_model, spread_over
from .inference import SAMPLE, prepare
from .training import Objective, Training, device_of, pick_device, predict_logits, train
from .user_code import UserModel, load_model
from .victims import VictimCard, VictimSpec, load_network, load_victim, save_victim, train_victim

__all__ = [
    "MANY",
    "SAMPLE",
    "VICTIMS",
    "ConvNorm",
    "Normalise",
    "Objective",
    "Training",
    "UserModel",
    "VictimCard",
    "VictimSpec",
    "build_network",
    "channel_statistics",
    "check_model",
    "cnn6",
    "device_of",
    "load_model",
    "load_network",
    "load_victim",
    "pick_device",
    "predict_logits",
    "prepare",
    "save_victim",
    "spread_over",
    "train",
    "train_victim",
]
