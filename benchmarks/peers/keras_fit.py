"""The same network in Keras 3: arrays in memory, compile and fit. KERAS_BACKEND says on what."""

import time

import keras
import numpy as np
from keras import layers

from benchmarks.peers.common import EVAL_BATCH, LEARNING_RATE, WORKLOADS, answer, arguments, held_out, read


def network(name: str) -> keras.Model:
    """Return a workload's network."""
    if name == "cnn":
        return keras.Sequential([
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2), layers.Dropout(0.25),
            layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(2), layers.Dropout(0.25),
            layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ])  # fmt: skip
    if name == "lstm":
        return keras.Sequential([keras.Input((28, 28)), layers.LSTM(128), layers.Dense(10, activation="softmax")])
    if name == "resnet":
        return resnet()
    if name == "autoencoder":
        return keras.Sequential([
            keras.Input((784,)),
            layers.Dense(128, activation="relu"), layers.Dense(32),
            layers.Dense(128, activation="relu"), layers.Dense(784),
        ])  # fmt: skip
    hidden = [128] if name == "mlp" else [64, 64]
    return keras.Sequential([
        keras.Input((784,)),
        *(layers.Dense(width, activation="relu") for width in hidden),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip


def resnet() -> keras.Model:
    """Return ResNet-8 with projections; batch norm with PyTorch's constants."""

    def convolution(maps, filters, kernel=3, stride=1):
        maps = layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False)(maps)
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(maps)

    inputs = keras.Input((32, 32, 3))
    maps = layers.ReLU()(convolution(inputs, 16))
    for filters, stride in ((16, 1), (32, 2), (64, 2)):
        body = convolution(layers.ReLU()(convolution(maps, filters, stride=stride)), filters)
        shortcut = convolution(maps, filters, kernel=1, stride=stride) if stride > 1 else maps
        maps = layers.ReLU()(layers.Add()([body, shortcut]))
    outputs = layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(maps))
    return keras.Model(inputs, outputs)


def start_as_pytorch(model: keras.Model, seed: int) -> None:
    """Draw the initial weights as PyTorch's layers do: Keras' own would lead to another accuracy after few epochs."""
    draws = np.random.default_rng(seed)
    for layer in model.layers:
        if not isinstance(layer, layers.Dense | layers.Conv2D | layers.LSTM):
            continue
        recurrent = isinstance(layer, layers.LSTM)
        shapes = [weight.shape for weight in layer.get_weights()]
        bound = (layer.units if recurrent else np.prod(shapes[0][:-1])) ** -0.5
        drawn = [draws.uniform(-bound, bound, shape) for shape in shapes]
        if recurrent:  # PyTorch adds a second bias
            drawn[2] = drawn[2] + draws.uniform(-bound, bound, shapes[2])
        layer.set_weights(drawn)


def main() -> None:
    """Train and test."""
    given = arguments()
    workload = WORKLOADS[given.workload]
    if given.threads and keras.backend.backend() == "torch":
        import torch

        torch.set_num_threads(given.threads)
    keras.utils.set_random_seed(given.seed)
    model = network(given.workload)
    start_as_pytorch(model, given.seed)
    shape = model.input_shape[1:]
    images, labels, test_images, test_labels = read(given.root, workload.data)
    x, x_test = (part.reshape(-1, *shape).astype("float32") / 255 for part in (images, test_images))
    y, y_test = labels.astype("int32"), test_labels.astype("int32")
    reconstructs = workload.score == "mse"
    if reconstructs:
        y, y_test = x, x_test
    model.compile(
        loss="mse" if reconstructs else "sparse_categorical_crossentropy",
        optimizer=keras.optimizers.Adam(LEARNING_RATE, epsilon=1e-8, global_clipnorm=workload.clip_norm),
        metrics=[] if reconstructs else ["accuracy"],
    )
    held = held_out(len(x))
    mark = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: marks.append(time.perf_counter()))  # after validation
    marks = [time.perf_counter()]
    model.fit(
        x[held:], y[held:], batch_size=workload.batch, epochs=given.epochs, verbose=2,
        validation_data=(x[:held], y[:held]), validation_batch_size=EVAL_BATCH, callbacks=[mark],
    )  # fmt: skip
    tested = model.evaluate(x_test, y_test, batch_size=EVAL_BATCH, verbose=0, return_dict=True)
    answer(
        marks=marks,
        score=float(tested["loss" if reconstructs else "accuracy"]),
        parameters=sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
    )


if __name__ == "__main__":
    main()
