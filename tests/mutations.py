"""One-line breakages that the tests must catch; `make mutate` applies them. Data only, see tests/mutate.py."""

from typing import NamedTuple


class Mutation(NamedTuple):
    """A breakage.

    Args:
        file: Path from the repository's root.
        old: Text that stands in the file exactly once.
        new: What it is replaced by.
        tests: pytest's arguments: the selection that must fail.
    """

    file: str
    old: str
    new: str
    tests: str


MUTATIONS = [
    Mutation(
        "trainctl/components/scale/standard.py",
        "shift_and_divide(*moments(values))",
        "shift_and_divide(*reversed(moments(values)))",
        "tests/components/scale/test_standard.py",
    ),
    Mutation(
        "trainctl/components/schedule/base.py",
        "lambda step: (step + 1) / warmup_steps",
        "lambda step: step / warmup_steps",
        "tests/components/schedule/test_cosine.py",
    ),
    Mutation(
        "trainctl/components/early_stopping/patience.py",
        "waited >= patience",
        "waited > patience",
        "tests/components/early_stopping/test_patience.py",
    ),
    Mutation(
        "trainctl/settings/schema.py",
        'above = value >= low if match[1] == "["',
        'above = value >= low if match[1] == "("',
        "tests/settings/test_schema.py",
    ),
    Mutation(
        "trainctl/components/loss/base.py",
        "class_counts.clamp_min(1).float()",
        "class_counts.clamp_min(2).float()",
        "tests/components/loss/test_base.py",
    ),
    Mutation(
        "trainctl/components/loss/focal.py",
        "(-torch.expm1(logarithms)).clamp_min(torch.finfo(outputs.dtype).eps)",
        "-torch.expm1(logarithms)",
        "tests/components/loss/test_focal.py",
    ),
    Mutation(
        "trainctl/components/regularizer/orthogonal.py",
        "if matrix.shape[0] > matrix.shape[1]:",
        "if False:",
        "tests/components/regularizer/test_orthogonal.py",
    ),
    Mutation(
        "trainctl/components/init/base.py",
        "for name, parameter in module.named_parameters(recurse=False) if weights else ():",
        "for name, parameter in module.named_parameters(recurse=False):",
        "tests/components/init/test_contract.py",
    ),
    Mutation(
        "trainctl/components/init/base.py",
        "{nn.LSTM: 4, nn.GRU: 3, nn.RNN: 1}",
        "{nn.LSTM: 1, nn.GRU: 3, nn.RNN: 1}",
        "tests/components/init/test_he_normal.py",
    ),
    Mutation(
        "trainctl/components/schedule/plateau.py",
        "abs(best)",
        "best",
        "tests/components/schedule/test_plateau.py",
    ),
    Mutation(
        "trainctl/components/average/polyak.py",
        "1 / max(1, step - 1 - start)",
        "1 / max(1, step - start)",
        "tests/components/average/test_polyak.py",
    ),
    # Numbers stay what they are.
    Mutation(
        "trainctl/data/centre.py",
        "return middle if worth else 0.0",
        "return 0.0",
        "tests/data/test_centre.py",
    ),
    Mutation(
        "trainctl/data/centre.py",
        "values.cpu().double() + torch.tensor(centre, dtype=torch.float64)",
        "values.cpu() + torch.tensor(centre)",
        "tests/finished/test_numbers.py",
    ),
    Mutation(
        "trainctl/data/schema.py",
        "    if dataset.input_centre or dataset.target_centre:\n",
        "    if False:\n",
        "tests/data/test_centre.py",
    ),
    Mutation(
        "trainctl/components/clean/base.py",
        "(self.fill_value - centre)",
        "(self.fill_value + 0 * centre)",
        "tests/components/clean/test_impute.py",
    ),
    Mutation(
        "trainctl/finished/predict.py",
        "yield list(map(str, row))",
        'yield [f"{value:.6g}" for value in row]',
        "tests/finished/test_numbers.py",
    ),
    Mutation(
        "trainctl/finished/predict.py",
        "guard = harmless if spreadsheet else str",
        "guard = harmless",
        "tests/finished/test_numbers.py",
    ),
    Mutation(
        "trainctl/fileformat/label.py",
        "return Decimal(text)",
        "return text",
        "tests/fileformat/test_label.py",
    ),
    Mutation(
        "trainctl/train/evaluation.py",
        "fixed_order(len(rows), run.config.seed)",
        "torch.arange(len(rows))",
        "tests/components/average",
    ),
    Mutation(
        "trainctl/run/sums.py",
        "distance = exact - self._part(0)",
        "distance = exact",
        "tests/run/test_sums.py",
    ),
    Mutation(
        "trainctl/run/sums.py",
        "if rows < 2 or math.isnan(error)",
        "if math.isnan(error)",
        "tests/run/test_sums.py",
    ),
    Mutation(
        "trainctl/components/optimizer/sgd.py",
        "if len(late) == len(moving):",
        "if True:",
        "tests/components/optimizer/test_contract.py",
    ),
    Mutation(
        "trainctl/components/augment/erase.py",
        "* (pixels[1] - pixels[0]) + pixels[0]",
        "* 255",
        "tests/components/augment/test_contract.py",
    ),
    Mutation(
        "trainctl/components/augment/base.py",
        "(values if pixels is None else values.clamp(*pixels))",
        "values",
        "tests/components/augment/test_contract.py",
    ),
    Mutation(
        "trainctl/report/files.py",
        "        self._restart_loggers()\n        self.plain.start",
        "        self.plain.start",
        "tests/components/logger/test_tensorboard.py",
    ),
    # What a resumed run needs.
    Mutation(
        "trainctl/store/restore.py",
        '    run.sums.restore(named["sums"])\n',
        "",
        "tests/train/test_resume.py",
    ),
    Mutation(
        "trainctl/store/restore.py",
        '    device.restore_random_states(_part(named, "random."), run.device)\n',
        "",
        "tests/train/test_resume.py",
    ),
    Mutation(
        "trainctl/store/restore.py",
        '{"stopping": Stopping, ',
        '{"stopped": Stopping, ',
        "tests/train/test_resume.py",
    ),
    Mutation(
        "trainctl/store/manifest.py",
        'REQUIRED = {"step": int,',
        'REQUIRED = {"groups": list, "step": int,',
        "tests/finished/test_open.py -k format",
    ),
    Mutation(
        "trainctl/store/restore.py",
        "        except NewerFormatError:\n            raise\n",
        "",
        "tests/finished/test_open.py -k newer_format",
    ),
    Mutation(
        "trainctl/store/difference.py",
        "if key in now and now[key] != before[key]",
        "if key in now and not now",
        "tests/finished/test_open.py -k another_run",
    ),
    Mutation(
        "trainctl/finished/comparison.py",
        "return tensor.reshape(-1).contiguous().view(torch.uint8)",
        "return tensor.reshape(-1).contiguous().view(torch.uint8) * 0",
        "tests/finished/test_verify.py -k tensor",
    ),
    Mutation(
        "trainctl/data/order.py",
        "order[position * self.batch_size :]",
        "order",
        "tests/train/test_resume.py",
    ),
    Mutation(
        "trainctl/step/eager.py",
        "generator.manual_seed(derive(run.config.seed, run.state.step))",
        "generator.seed()",
        "tests/train/test_resume.py",
    ),
    Mutation(
        "trainctl/store/restore.py",
        '"reaction": Reaction, ',
        '"reacted": Reaction, ',
        "tests/train/test_resume.py",
    ),
    # What a checkpoint promises.
    Mutation(
        "trainctl/store/manifest.py",
        'if content.get("sha256") != checksum(content):',
        "if False:",
        "tests/store/test_checkpoint.py",
    ),
    Mutation(
        "trainctl/store/checkpoint.py",
        "if OURS.fullmatch(path.name) and path.name not in needed:",
        "if path.name not in needed:",
        "tests/store/test_checkpoint.py",
    ),
    # A step that is recorded, and what is read beside it.
    Mutation(
        "trainctl/step/record.py",
        "self.trouble = self._why_unrepeatable(kernel, args, returned)",
        'self.trouble = ""',
        "tests/step/test_record.py",
    ),
    Mutation(
        "trainctl/step/record.py",
        "for value in tensors([returned]) if id(value) not in arguments)",
        "for value in tensors([returned]))",
        "tests/step/test_record.py",
    ),
    Mutation(
        "trainctl/step/replay.py",
        "if kernel.is_view and self._is_constant(args[0]):",
        "if kernel.is_view:",
        "tests/step/test_replay.py",
    ),
    Mutation(
        "trainctl/step/replay.py",
        "self._constant(value.detach())",
        "self._constant(value)",
        "tests/step/test_replay.py",
    ),
    Mutation(
        "trainctl/step/replay.py",
        "if line.view and not made & needed:",
        "if not made & needed:",
        "tests/step/test_replay.py",
    ),
    Mutation(
        "trainctl/step/replay.py",
        "return _alike(first.call, (kernel, *args, *kwargs.items()))",
        "return True",
        "tests/step/test_replay.py",
    ),
    Mutation(
        "trainctl/step/engine.py",
        "kind = (inputs.shape, share, augmented is inputs)",
        "kind = inputs.shape[1:]",
        "tests/step/test_engine.py",
    ),
    Mutation(
        "trainctl/step/engine.py",
        "share, augmented is inputs)",
        "share)",
        "tests/step/test_engine.py",
    ),
    Mutation(
        "trainctl/step/engine.py",
        "        if trouble:\n",
        "        if False:\n",
        "tests/step/test_engine.py",
    ),
    Mutation(
        "trainctl/step/engine.py",
        "            restore_random_states(random, device)",
        "            random",
        "tests/step/test_engine.py",
    ),
    Mutation(
        "trainctl/step/engine.py",
        "tensor.copy_(saved)",
        "tensor.copy_(tensor)",
        "tests/step/test_engine.py",
    ),
    Mutation(
        "trainctl/step/engine.py",
        "return all(map(_same, program.values, eager.values))",
        "return True",
        "tests/step/test_engine.py",
    ),
    Mutation(
        "trainctl/step/engine.py",
        "if not all(bool(value.isfinite()",
        "if False and not all(bool(value.isfinite()",
        "tests/step/test_engine.py",
    ),
    Mutation(
        "trainctl/step/engine.py",
        "            run.scaler.scale(torch.ones((), device=run.device))",
        "            pass",
        "tests/step/test_engine.py",
    ),
    Mutation(
        "trainctl/step/engine.py",
        "            self._check_again()",
        "            self.left = CHECK_EVERY",
        "tests/step/test_engine.py",
    ),
    Mutation(
        "trainctl/step/engine.py",
        "TIMES_EAGER * (again - eager)",
        "1e3 * (again - eager)",
        "tests/step/test_engine.py",
    ),
    Mutation(
        "trainctl/step/cuda_graph.py",
        "if not self.keep:",
        "if True:",
        "tests/step/test_cuda_graph.py",
    ),
    Mutation(
        "trainctl/step/fused.py",
        "as_strided((len(numbers),), (1,)) if whole else",
        "as_strided((len(numbers),), (1,)) if False else",
        "tests/step/test_fused.py",
    ),
    Mutation(
        "trainctl/step/fused.py",
        'run.optimizer.register_load_state_dict_post_hook(lambda _: setattr(self, "kernels", None))',
        "run.optimizer.register_load_state_dict_post_hook(lambda _: None)",
        "tests/step/test_fused.py",
    ),
    Mutation(
        "trainctl/step/eager.py",
        "if gradient is None or gradient.stride() == parameter.stride():",
        "if True:",
        "tests/step/test_fused.py",
    ),
    Mutation(
        "trainctl/store/restore.py",
        "return torch.empty_like(parameters[index], dtype=value.dtype, device=value.device).copy_(value)",
        "return value",
        "tests/train/test_resume.py",
    ),
    Mutation(
        "trainctl/components/model/base.py",
        "numbers.ge_(limit)",
        "numbers.gt_(limit)",
        "tests/components/model/test_base.py",
    ),
    Mutation(
        "trainctl/machine/threads.py",
        "return max(0.0, used - (now.own - before.own) / elapsed)",
        "return max(0.0, used)",
        "tests/machine/test_threads.py",
    ),
    Mutation(
        "trainctl/machine/threads.py",
        "            self.before = now\n",
        "",
        "tests/machine/test_threads.py",
    ),
    Mutation(
        "trainctl/machine/threads.py",
        "below = below.parent",
        "break",
        "tests/machine/test_threads.py",
    ),
    Mutation(
        "trainctl/train/session.py",
        "return replace(config, threads=before)",
        "return replace(config, threads=None)",
        "tests/machine/test_threads.py",
    ),
    # What a step computes, and when the loop looks.
    Mutation(
        "trainctl/step/eager.py",
        "compute(x, y, *augment(x, done), len(x) / rows)",
        "compute(x, y, *augment(x, done), 1 / parts)",
        "tests/train/test_loop.py",
    ),
    Mutation(
        "trainctl/train/loop.py",
        "if math.isfinite(value) and (",
        "if (",
        "tests/train/test_loop.py",
    ),
    Mutation(
        "trainctl/run/model.py",
        "if parameter.ndim > 1 or decay_norm_and_bias",
        "if parameter.ndim > 0 or decay_norm_and_bias",
        "tests/train/test_loop.py",
    ),
    Mutation(
        "trainctl/data/split.py",
        "pool = pool[torch.sort(dataset.targets[pool], stable=True).indices]",
        "pool = pool[:]",
        "tests/data/test_split.py",
    ),
    Mutation(
        "trainctl/step/eager.py",
        "return inputs, inputs if augmented is None else scale(stored)",
        "return inputs, inputs",
        "tests/train/test_loop.py",
    ),
    Mutation(
        "trainctl/step/eager.py",
        "torch.stack([share for share, _ in parts]).argmax()",
        "torch.stack([share for share, _ in parts]).argmin()",
        "tests/train/test_loop.py",
    ),
    Mutation(
        "trainctl/components/augment/base.py",
        "(weight * (1 - self.weight), values[self.partner])",
        "(weight * (1 - self.weight), values)",
        "tests/components/augment/test_contract.py tests/train/test_loop.py",
    ),
    Mutation(
        "trainctl/components/augment/rotate.py",
        "torch.stack([cosine, -sine * height / width, zero], dim=1)",
        "torch.stack([cosine, -sine, zero], dim=1)",
        "tests/components/augment/test_rotate.py",
    ),
    Mutation(
        "trainctl/components/augment/noise.py",
        "width = std * deviation()",
        "width = std * deviation().mean()",
        "tests/components/augment/test_noise.py",
    ),
    # What training rows teach, and nothing else does.
    Mutation(
        "trainctl/components/clean/base.py",
        "values = dataset.inputs[train]",
        "values = dataset.inputs",
        "tests/components/clean/test_contract.py",
    ),
    Mutation(
        "trainctl/components/dataset/text.py",
        "dataset.inputs[train].tolist()",
        "dataset.inputs.tolist()",
        "tests/components/dataset/test_text.py",
    ),
    Mutation(
        "trainctl/components/dataset/series.py",
        "gap_rows=horizon - 1",
        "gap_rows=0",
        "tests/components/dataset/test_series.py",
    ),
    Mutation(
        "trainctl/fileformat/cifar.py",
        'raise pickle.UnpicklingError(f"it names {module}.{name}, which an array does not need") from None',
        "return super().find_class(module, name)",
        "tests/fileformat/test_cifar.py",
    ),
    Mutation(
        "trainctl/fileformat/idx.py",
        "file.read(min(PORTION, size + 1 - len(content)))",
        "file.read()",
        "tests/data/test_bad_data.py -k bomb",
    ),
    Mutation(
        "trainctl/fileformat/array.py",
        "math.prod(shape) * kind.itemsize > size - file.tell()",
        "False",
        "tests/data/test_bad_data.py -k promises",
    ),
    Mutation(
        "trainctl/fileformat/image.py",
        "if image.width * image.height > MOST_PIXELS:",
        "if False:",
        "tests/data/test_bad_data.py -k bomb",
    ),
    Mutation(
        "trainctl/components/dataset/image_folder.py",
        "return complete and hashlib.sha256(pixels.data).digest() == digest",
        "return complete",
        "tests/data/test_bad_data.py -k cache",
    ),
    Mutation(
        "trainctl/data/split.py",
        "key in trained for key in _hashes(dataset, splits[name])",
        "key not in trained for key in _hashes(dataset, splits[name])",
        "tests/data/test_bad_data.py -k judged",
    ),
    Mutation(
        "trainctl/data/load.py",
        "rows = all_rows(dataset) if whole else split_rows(dataset, split)",
        "rows = split_rows(dataset, split)",
        "tests/data/test_bad_data.py -k measured",
    ),
    # What a library may raise, and what may reach it.
    Mutation(
        "trainctl/fileformat/boundary.py",
        "if not isinstance(raised, Exception) or isinstance(raised, TrainctlError | BrokenPipeError):",
        "if not isinstance(raised, ValueError | OSError):",
        "tests/fileformat/test_boundary.py",
    ),
    Mutation(
        "trainctl/fileformat/boundary.py",
        "if isinstance(raised, MemoryError | OSError | RuntimeError) and lacks_memory(raised):",
        "if lacks_memory(raised):",
        "tests/fileformat/test_boundary.py -k memory",
    ),
    Mutation(
        "trainctl/fileformat/limits.py",
        "if len(text) > DEEPEST_BRACKETS and _depth(text) > DEEPEST_BRACKETS:",
        "if False:",
        "tests/fileformat/test_limits.py",
    ),
    Mutation(
        "trainctl/settings/user_files.py",
        "        refuse_too_large(path)",
        "        pass",
        "tests/settings/test_bad_configuration.py -k large",
    ),
    # What an annotation means.
    Mutation(
        "trainctl/settings/component.py",
        "if name not in supplied]:",
        "if name in supplied]:",
        "tests/settings/test_annotation.py",
    ),
    Mutation(
        "trainctl/settings/annotation.py",
        "above = package[: len(package) - statement.level + 1] if statement.level else []",
        "above = package if statement.level else []",
        "tests/settings/test_annotation.py",
    ),
    Mutation(
        "trainctl/settings/schema.py",
        "ends = (float(match[2]), float(match[3])) if match else (math.nan, math.nan)",
        "ends = (0.0, 0.0)",
        "tests/settings/test_annotation.py",
    ),
    Mutation(
        "trainctl/settings/config.py",
        '    on_nonfinite: Annotated[Literal["stop", "skip", "rewind"], Resumable]',
        '    on_nonfinite: Literal["stop", "skip", "rewind"]',
        "tests/settings/test_existing.py",
    ),
    Mutation(
        "trainctl/settings/compose.py",
        'raise ConfigError("\\n".join(dict.fromkeys(wrong)))',
        'raise ConfigError("\\n".join(wrong))',
        "tests/settings/test_existing.py tests/settings/test_compose.py",
    ),
    # What the user is told.
    Mutation(
        "trainctl/cli.py",
        "return complain(str(error), error.exit_code)",
        "return complain(str(error), 1)",
        "tests/test_cli.py",
    ),
    Mutation(
        "trainctl/settings/overrides.py",
        "elif override.is_sweep_override() and not sweep:",
        "elif False:",
        "tests/test_cli.py",
    ),
    Mutation(
        "trainctl/train/conclusion.py",
        'evaluate(run.evaluation, "test") if tested == "test" else {}',
        'evaluate(run.evaluation, "val")',
        "tests/train/test_training.py -k default_run",
    ),
    # What models and finders promise.
    Mutation(
        "trainctl/components/model/rnn.py",
        "lengths = (positions * (ids != PADDING)).amax(1).clamp(min=1)",
        "lengths = positions.amax().expand(len(ids)).clone()",
        "tests/components/model/test_rnn.py",
    ),
    Mutation(
        "trainctl/components/model/resnet.py",
        "stride = 2 if stage and not block else 1",
        "stride = 2 if stage else 1",
        "tests/components/model/test_resnet.py",
    ),
    Mutation(
        "trainctl/components/model/autoencoder.py",
        "maps.append((filters, (height + 1) // 2, (width + 1) // 2))",
        "maps.append((filters, height // 2, width // 2))",
        "tests/components/model/test_autoencoder.py",
    ),
    Mutation(
        "trainctl/components/model/base.py",
        "path, module, shape = entered[-1]",
        "path, module, shape = entered[0]",
        "tests/components/model/test_base.py",
    ),
    Mutation(
        "trainctl/measure/learning_rate.py",
        "if not lacks_memory(error):",
        "if lacks_memory(error):",
        "tests/measure/test_learning_rate.py",
    ),
    Mutation(
        "trainctl/measure/learning_rate.py",
        'group["lr"] = rate * share',
        'group["lr"] = rate',
        "tests/measure/test_learning_rate.py",
    ),
    # Schedules.
    Mutation(
        "trainctl/run/rate.py",
        "run.schedule.multiplier(position) * run.state.reaction.factor",
        "run.schedule.multiplier(position)",
        "tests/train/test_loop.py",
    ),
    Mutation(
        "trainctl/run/rate.py",
        'if group.get("momentum"):',
        'if "momentum" in group:',
        "tests/train/test_loop.py",
    ),
    Mutation(
        "trainctl/components/schedule/plateau.py",
        "if state.waited <= patience:",
        "if state.waited < patience:",
        "tests/components/schedule/test_plateau.py",
    ),
    Mutation(
        "trainctl/components/schedule/multistep.py",
        "bisect_right(steps, step + warmup_steps)",
        "bisect_right(steps, step)",
        "tests/components/schedule/test_multistep.py",
    ),
    # Signals and numbers that are not finite.
    Mutation(
        "trainctl/train/health.py",
        "device.restore_random_states(random, run.device)",
        "pass",
        "tests/train/test_health.py",
    ),
    Mutation(
        "trainctl/train/session.py",
        'conclude(run, directory, reporter, "failed", f"{type(error).__name__}: {error}")',
        "pass",
        "tests/train/test_health.py -k raises_once",
    ),
    Mutation(
        "trainctl/run/run.py",
        "if self.average.model is not self.model:",
        "if False:",
        "tests/train/test_exact.py",
    ),
    Mutation(
        "trainctl/run/factory.py",
        "    if not _belongs_to(group, result):",
        "    if False:",
        "tests/run/test_factory.py",
    ),
    Mutation(
        "trainctl/train/snapshot.py",
        "        vars(run.state).update(self.state)\n",
        "",
        "tests/train/test_health.py",
    ),
    Mutation(
        "trainctl/train/loop.py",
        "with suppress(Stopped):",
        "with suppress(KeyError):",
        "tests/train/test_health.py",
    ),
    Mutation(
        "trainctl/train/loop.py",
        "stop = stop or request.received is not None",
        "stop = bool(stop)",
        "tests/machine/test_signals.py",
    ),
    Mutation(
        "trainctl/train/health.py",
        "if not isinstance(error, NonFiniteError) and not lacks_memory(error):",
        "if False:",
        "tests/train/test_health.py -k bug",
    ),
    Mutation(
        "trainctl/train/health.py",
        "        self.remember()\n        return True\n\n    def remember",
        "        return True\n\n    def remember",
        "tests/train/test_health.py -k bug",
    ),
    Mutation(
        "trainctl/train/health.py",
        "self.broken = True  # until all of it is restored",
        "self.broken = False",
        "tests/train/test_health.py",
    ),
    # Averages.
    Mutation(
        "trainctl/components/average/swa.py",
        "approach(averaged, model, 1 / (count + 1))",
        "approach(averaged, model, 1 / (count + 2))",
        "tests/components/average/test_swa.py",
    ),
    Mutation(
        "trainctl/train/loop.py",
        "    renew_statistics(run, check)\n",
        "",
        "tests/components/average",
    ),
    Mutation(
        "trainctl/store/restore.py",
        "in numbers.items():\n        record",
        "in (numbers | {'averaged': 0}).items():\n        record",
        "tests/components/average",
    ),
    Mutation(
        "trainctl/components/early_stopping/generalization_loss.py",
        "best = value if state.best is None else min(value, state.best)",
        "best = value if state.best is None else state.best",
        "tests/components/early_stopping",
    ),
    # Optimizers: what the contract or the comparison with the paper must notice.
    Mutation(
        "trainctl/run/rate.py",
        'group["lr"] = group["initial_lr"] * factor',
        'group["lr"] = run.optimizer.param_groups[0]["initial_lr"] * factor',
        "tests/train/test_loop.py",
    ),
    Mutation(
        "trainctl/components/optimizer/lion.py",
        "torch._foreach_lerp_(means, gradients, 1 - beta2)",
        "torch._foreach_lerp_(means, gradients, 1 - beta1)",
        "tests/components/optimizer/test_lion.py",
    ),
    Mutation(
        "trainctl/components/optimizer/muon.py",
        "max(1.0, direction.shape[0] / direction.shape[1])",
        "max(1.0, weight.shape[-2] / weight.shape[-1])",
        "tests/components/optimizer/test_muon.py",
    ),
    # What the profiler measures.
    Mutation(
        "trainctl/step/eager.py",
        'mark("backward")',
        "pass",
        "tests/measure/test_profile.py -k order",
    ),
    Mutation(
        "trainctl/measure/marks.py",
        "self.totals.get(self.part, 0.0) + now - self.last",
        "now - self.last",
        "tests/measure/test_profile.py -k entered_last",
    ),
    Mutation(
        "trainctl/measure/flops.py",
        "aten.mkldnn_rnn_layer: _mkldnn,",
        "aten.mkldnn_rnn_layer: lambda *_, **__: 0,",
        "tests/measure/test_profile.py -k recurrent",
    ),
    Mutation(
        "trainctl/measure/steps.py",
        "(run.state.step + 1) % run.plan.total_steps",
        "run.state.step + 1",
        "tests/measure/test_profile.py -k begin_anew",
    ),
    Mutation(
        "trainctl/measure/steps.py",
        'group["lr"] = group["initial_lr"] = 0.0',
        'group["lr"] = 0.0',
        "tests/measure/test_profile.py -k rate_of_0",
    ),
    Mutation(
        "trainctl/train/health.py",
        'facts | {"engine": text}',
        "facts",
        "tests/train/test_how_steps_are_taken.py",
    ),
    Mutation(
        "trainctl/settings/renamed.py",
        "tree = dict(tree)\n    for old",
        "return tree\n    for old",
        "tests/finished/test_open.py -k older_name",
    ),
    Mutation(
        "trainctl/measure/trials.py",
        "    finally:\n        torch.set_num_threads(used)\n",
        "    finally:\n        pass\n",
        "tests/measure/test_profile.py -k set_back",
    ),
    Mutation(
        "trainctl/components/augment/flip.py",
        "visit.epoch % 2 == 0",
        "visit.epoch % 2 == 1",
        "tests/components/augment/test_flip.py -k alternating",
    ),
    Mutation(
        "trainctl/data/order.py",
        "(position * self.batch_size + first)",
        "position * self.batch_size",
        "tests/train/test_loop.py -k is_told",
    ),
    Mutation(
        "trainctl/components/init/whiten.py",
        "first.weight.requires_grad_(not frozen)",
        "first.weight.requires_grad_(True)",
        "tests/components/init/test_whiten.py -k frozen_filters",
    ),
    Mutation(
        "trainctl/command/profile.py",
        "if trial.gain > FASTER",
        "if trial.gain > 1 / FASTER",
        "tests/command/test_profile.py -k nothing_is_advised",
    ),
    Mutation(
        "trainctl/store/files.py",
        "        sync(path.parent)\n    except OSError as error:\n        remove(temporary)\n        raise failure(path, error, size)",
        "    except OSError as error:\n        remove(temporary)\n        raise failure(path, error, size)",
        "tests/train/test_faults.py -k power",
    ),
    Mutation(
        "trainctl/store/checkpoint.py",
        "if 0 <= manifest.step_of(path) <= step]",
        "]",
        "tests/train/test_faults.py -k damaged",
    ),
    Mutation(
        "trainctl/store/lock.py",
        'return bool(_started(other["pid"]) != other["started"])',
        "return False",
        "tests/store/test_lock.py -k number",
    ),
    Mutation(
        "trainctl/command/arguments.py",
        "low < value <= high and math.isfinite(value)",
        "low < value <= high",
        "tests/command/test_arguments.py",
    ),
    Mutation(
        "trainctl/report/phrases.py",
        "number(math.nan if value is None else value)",
        "number(value)",
        "tests/report/test_phrases.py",
    ),
    Mutation(
        "trainctl/report/files.py",
        "return list(self.unsynced)",
        "return []",
        "tests/train/test_faults.py -k records",
    ),
    # How tensors are written.
    Mutation(
        "trainctl/store/tensors.py",
        "-len(text) % 8",
        "0",
        "tests/store/test_tensors.py -k bytes",
    ),
    Mutation(
        "trainctl/store/tensors.py",
        'path = path.with_stem(f"{path.stem}-{sha256[:8]}")',
        "pass",
        "tests/store/test_tensors.py -k spared",
    ),
    Mutation(
        "trainctl/store/files.py",
        "    except BaseException:\n        remove(temporary)\n",
        "    except BaseException:\n",
        "tests/train/test_health.py -k ends_no_process",
    ),
    Mutation(
        "trainctl/run/sums.py",
        "self.world.sum(self.sums)",
        "self.sums",
        "tests/machine/test_world.py",
    ),
    # What a run reports after a stop.
    Mutation(
        "trainctl/train/loop.py",
        "rate, speed = learning_rate(run, state.position),",
        'rate, speed = run.optimizer.param_groups[0]["lr"],',
        "tests/train/test_stops.py",
    ),
    Mutation(
        "trainctl/train/loop.py",
        "state.evaluated, state.evaluated_seconds = state.step, state.seconds",
        "state.evaluated, state.evaluated_seconds = state.step, clock.seconds()",
        "tests/train/test_loop.py",
    ),
    Mutation(
        "trainctl/train/session.py",
        "rundir.read_metrics(directory, run.state.evaluated,",
        "rundir.read_metrics(directory, run.state.step,",
        "tests/train/test_stops.py",
    ),
    Mutation(
        "trainctl/train/loop.py",
        " or state.step == begun)",
        ")",
        "tests/train/test_loop.py",
    ),
    Mutation(
        "trainctl/finished/comparison.py",
        "    if not pending(run.saved, plan):\n        return run.saved\n",
        "    return run.saved\n",
        "tests/train/test_stops.py",
    ),
    Mutation(
        "trainctl/store/restore.py",
        '| {"position": max(0, content.step - 1)}',
        "",
        "tests/store/test_restore.py",
    ),
    Mutation(
        "docs/make_reference.py",
        'found[key] += f" {match[1]}"',
        "pass",
        "tests/docs/test_reference.py -k examples",
    ),
    Mutation(
        "docs/conf.py",
        r'rf"\[[^\[\]\n]+\]',
        r'rf"\[[^\]]+\]',
        "tests/docs/test_site.py -k formula",
    ),
    Mutation(
        "Makefile",
        " --no-build-isolation $(3)",
        " $(3)",
        "tests/test_install.py -k nothing_is_installed",
    ),
    Mutation(
        "Makefile",
        "--universal --python-version 3.11 ",
        "--universal --python-version 3.12 ",
        "tests/test_install.py -k oldest_python",
    ),
    Mutation(
        "Makefile",
        "$(call install,.venv,$(LOCK),",
        "$(call install,.venv,,",
        "tests/test_install.py -k nothing_is_installed",
    ),
    Mutation(
        "trainctl/data/order.py",
        "epoch, position = epoch + 1, 0",
        "epoch, position = epoch, 0",
        "tests/data/test_order.py",
    ),
    Mutation(
        "trainctl/data/load.py",
        'else clean.spare(parts.dataset, parts.rows["train"])',
        'else parts.rows["train"]',
        "tests/run/test_assemble.py",
    ),
    Mutation(
        "trainctl/data/rows.py",
        "every = -(-len(self) // count)",
        "every = len(self) // count",
        "tests/data/test_rows.py",
    ),
    Mutation(
        "trainctl/data/schema.py",
        "isinstance(value, bool) or value < 1",
        "value < 1",
        "tests/data/test_schema.py",
    ),
    Mutation(
        "trainctl/data/schema.py",
        "for key, value in vars(self.encoding).items() if value is not None",
        "for key, value in vars(self.encoding).items() if value",
        "tests/data/test_schema.py",
    ),
    Mutation(
        "trainctl/finished/open.py",
        'best = which == "best" and manifest.best',
        "best = manifest.best",
        "tests/finished",
    ),
]
