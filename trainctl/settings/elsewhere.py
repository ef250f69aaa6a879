"""What users of other tools call things -> what they are called here: the tables that :mod:`trainctl.settings.habits` reads."""

# What a setting is called elsewhere -> its key here. `VALUE` is replaced by what was typed.
ELSEWHERE = {
    **dict.fromkeys(("epochs", "epoch", "max_epochs", "n_epochs", "num_epochs", "num_train_epochs", "nepochs"), "loop.epochs"),
    **dict.fromkeys(("steps", "max_iters", "iterations", "num_steps", "total_steps"), "loop.max_steps"),
    **dict.fromkeys(("batch", "bs", "batchsize", "batch_size", "train_batch_size", "per_device_train_batch_size"), "loop.batch_size"),
    **dict.fromkeys(("eval_batch_size", "val_batch_size", "test_batch_size"), "loop.eval_batch_size"),
    **dict.fromkeys(("lr", "learning_rate", "rate", "base_lr"), "optimizer.lr"),
    **dict.fromkeys(("wd", "weight_decay", "decay"), "optimizer.weight_decay"),
    **dict.fromkeys(("momentum",), "optimizer=sgd optimizer.momentum"),
    **dict.fromkeys(("optim", "opt", "solver"), "optimizer"),
    **dict.fromkeys(("scheduler", "lr_scheduler", "sched", "lr_schedule"), "schedule"),
    **dict.fromkeys(("arch", "net", "network", "architecture"), "model"),
    **dict.fromkeys(("criterion", "objective", "loss_fn"), "loss"),
    **dict.fromkeys(("augmentation", "augmentations", "aug", "transforms"), "augment"),
    **dict.fromkeys(("random_seed", "manual_seed", "random_state"), "seed"),
    **dict.fromkeys(("grad_clip", "clip", "clip_grad", "clip_grad_norm", "gradient_clip_val", "max_grad_norm"), "loop.clip_norm"),
    **dict.fromkeys(
        ("accumulate_grad_batches", "gradient_accumulation_steps", "grad_accum", "accumulation_steps", "accum"), "loop.micro_batches"
    ),
    **dict.fromkeys(("val_split", "validation_split", "valid_fraction", "val_size"), "split.val_fraction"),
    **dict.fromkeys(("test_split", "test_size"), "split.test_fraction"),
    **dict.fromkeys(("out", "out_dir", "output", "output_dir", "outdir", "save_dir"), "output.root"),
    **dict.fromkeys(("log_dir", "logdir", "default_root_dir", "run_dir", "dir"), "output.root"),
    **dict.fromkeys(("name", "run_name", "exp_name", "experiment_name", "task_name"), "output.name"),
    **dict.fromkeys(("csv", "data", "data_path", "train_data", "train_file", "file"), "dataset=csv dataset.target=COLUMN dataset.path"),
    **dict.fromkeys(("patience",), "early_stopping=patience early_stopping.patience"),
    **dict.fromkeys(("warmup", "warmup_steps"), "schedule=cosine schedule.warmup_steps"),
    **dict.fromkeys(("num_threads", "cpus", "num_workers", "workers"), "threads"),
    **dict.fromkeys(("save_top_k", "keep_checkpoints"), "checkpoint.keep"),
    **dict.fromkeys(("monitor_metric", "metric"), "monitor"),
}  # fmt: skip
# What is a command here, or has no setting.
COMMANDS = {
    **dict.fromkeys(
        ("resume", "resume_from", "resume_from_checkpoint", "ckpt", "ckpt_path", "checkpoint", "load"),
        "a run is continued with trainctl resume",
    ),
    **dict.fromkeys(("eval", "evaluate", "test", "validate"), "a run is measured again with trainctl evaluate"),
    **dict.fromkeys(("predict", "infer", "inference"), "a run predicts with trainctl predict RUN INPUT"),
    **dict.fromkeys(
        ("explain", "interpret", "attribute", "shap", "captum", "feature_importance"),
        "a run is explained with trainctl explain RUN [INPUT]",
    ),
    **dict.fromkeys(("config", "config_file", "cfg_file"), "for the settings in a file, type its name: trainctl VALUE"),
    **dict.fromkeys(("experiment", "exp"), "an experiment is a recipe here: with recipes/NAME.yaml, use recipe=NAME"),
    **dict.fromkeys(("tag", "tags"), "use output.tags=[VALUE]"),
    **dict.fromkeys(("verbose", "debug", "quiet", "log_level"), "output has no levels; --cfg job shows the settings"),
    **dict.fromkeys(("dry_run", "fast_dev_run", "smoke"), "for a short trial, use loop.max_steps=1"),
    **dict.fromkeys(("lr_find", "auto_lr_find"), "a learning rate is found with trainctl find-lr"),
    **dict.fromkeys(
        ("pretrained", "use_pretrained", "pretrained_weights", "imagenet", "backbone"),
        "pretrained weights are those of torchvision: use model=torchvision model.weights=default",
    ),
    **dict.fromkeys(("wandb", "use_wandb"), "use logger=wandb"),
    **dict.fromkeys(("mlflow", "use_mlflow"), "use logger=mlflow"),
    **dict.fromkeys(("tensorboard", "tb"), "use logger=tensorboard"),
    **dict.fromkeys(("head_lr", "lr_head", "backbone_lr"), "the output layer has a rate of its own with head_lr_factor=10"),
    **dict.fromkeys(("models", "optimizers", "datasets", "losses", "recipes"), "components are listed by trainctl list"),
    **dict.fromkeys(("list",), "components are listed by trainctl list"),
    **dict.fromkeys(("ls", "history", "experiments"), "runs are listed with trainctl runs"),
    **dict.fromkeys(("rm", "delete", "del", "clean_runs"), "runs are removed with trainctl remove"),
    **dict.fromkeys(("plot", "plots", "html"), "a page with all charts is written with trainctl report"),
    **dict.fromkeys(("sweep", "search", "tune", "hpo", "optimize"), "a sweep is -m: use -m optimizer.lr=0.1,0.01"),
    **dict.fromkeys(("benchmark", "bench", "speed"), "speed is measured with trainctl profile"),
    **dict.fromkeys(("doctor", "info", "diagnose"), "versions and devices are shown with trainctl env"),
    **dict.fromkeys(("onnx", "convert", "save"), "a run is exported with trainctl export"),
    **dict.fromkeys(("deploy", "api", "server"), "predictions are served with trainctl serve"),
    **dict.fromkeys(
        ("completion", "completions", "shell_completion", "install_completion"),
        "completion is set up with the words that trainctl --help names, such as --shell-completion install=bash",
    ),
    **dict.fromkeys(("version", "v"), "the version is printed by trainctl --version"),
    **dict.fromkeys(("rerun", "experimental_rerun"), "a run is repeated with trainctl reproduce"),
    **dict.fromkeys(("run", "train", "fit", "start"), "training is what trainctl does without a command; leave it out"),
}  # fmt: skip
# Wishes to replace what is there, which nothing here does.
OVERWRITING = (
    "overwrite", "force", "f", "exist_ok", "exists_ok", "clobber", "replace", "overwrite_output_dir", "overwrite_output",
    "overwrite_existing", "force_overwrite", "allow_overwrite", "delete_existing", "clean_output", "new_run",
)  # fmt: skip
# Commands, which are sometimes typed as settings: export=onnx.
OURS = (
    "compare", "distill", "ensemble", "env", "export", "find_batch_size", "find_lr", "finetune", "inspect", "lineage",
    "merge", "new", "profile", "prune", "quantize", "remove", "report", "reproduce", "runs", "serve", "settings", "sweeps",
    "trust", "verify",
)  # fmt: skip
FLAGS = {
    "config_name": "the settings of all runs are fixed; your own are a recipe: with recipes/NAME.yaml, use recipe=NAME",
    "cn": "the settings of all runs are fixed; your own are a recipe: with recipes/NAME.yaml, use recipe=NAME",
    "config_path": "a directory of your own is given with --config-dir VALUE",
    "cp": "a directory of your own is given with --config-dir VALUE",
}
HYDRA = {
    "run.dir": "run directories are created below output.root: use output.root=VALUE",
    "sweep.dir": "run directories are created below output.root: use output.root=VALUE",
    "sweep.subdir": "the trials of a sweep are numbered; leave it out",
    "job.chdir": "trainctl never changes the current directory; leave it out",
    "launcher": "several trials at once: use -m sweep.workers=2",
    "sweeper": "points are chosen by a sampler: use -m sweep=tpe sweep.trials=20",
    "sweeper.n_trials": "use -m sweep=tpe sweep.trials=VALUE",
    "searchpath": "a directory of your own is given with --config-dir DIR",
}
PRECISIONS = {
    **dict.fromkeys(("16", "16-mixed", "half", "float16", "f16", "amp", "true"), "fp16"),
    **dict.fromkeys(("bf16-mixed", "bfloat16", "bf16-true"), "bf16"),
    **dict.fromkeys(("32", "32-true", "full", "float32", "f32", "single", "false"), "fp32"),
}
DEVICES = {
    **dict.fromkeys(("gpu", "cuda:all", "-1", "nvidia", "rocm", "hip"), "cuda"),  # PyTorch calls AMD's GPUs cuda, too
    **dict.fromkeys(("metal", "apple"), "mps"),
}
# What is measured in every run, and other names of metrics.
MEASURED = ("loss", "accuracy", "acc", "mae", "rmse", "mse", "r2", "r_squared")
METRICS = {
    **dict.fromkeys(("roc_auc", "auroc", "rocauc", "roc"), "auc"),
    **dict.fromkeys(("ap", "pr_auc", "auprc", "map", "mean_average_precision"), "average_precision"),
    **dict.fromkeys(("f1_score", "f1_macro", "macro_f1", "fscore", "fbeta"), "f1"),
    **dict.fromkeys(("top5", "top3", "top_5", "topk", "top5_accuracy", "top_k_accuracy"), "top_k"),
    **dict.fromkeys(("mcc", "matthews_corrcoef"), "matthews"),
    **dict.fromkeys(("ece", "expected_calibration_error"), "calibration_error"),
    **dict.fromkeys(("cohen_kappa", "cohens_kappa"), "kappa"),
    **dict.fromkeys(("logloss", "nll"), "log_loss"),
    **dict.fromkeys(("bacc", "balanced_acc"), "balanced_accuracy"),
    **dict.fromkeys(("sensitivity", "tpr"), "recall"),
    **dict.fromkeys(("medae", "median_absolute_error"), "median_error"),
    "brier_score": "brier",
    "spearmanr": "spearman",
}  # fmt: skip
SPLITS = {"valid": "val", "validation": "val", "eval": "val", "dev": "val"}
TRUTHS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
