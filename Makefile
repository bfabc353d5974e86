# `make help` lists what exists. Settings come on the command line: make reproduce-solid SCALE=small SEED=1
# Nothing is to be installed first: workflow/run makes the environments that a target needs.

export SCALE PLACE ACCEL DEVICE SEED DATA_DIR RUNS_DIR JOBS PAPER STAGE TOOLCHAIN OVERRIDES STRICT FORCE COUNT OBJECT MESHES CLASSES NUM BACKEND THRESHOLD SETTING DETECTOR
RUN := workflow/run

.DEFAULT_GOAL := help
.PHONY: help reproduce-solid reproduce-dense-detector reproduce-gafi reproduce-sample-synthesis
.PHONY: reproduce-imaginarynet reproduce compare
.PHONY: plan status logs shell report
.PHONY: fetch-meshes fetch-fashion-mnist fetch-cifar10 fetch-cifar100 fetch-cinic10 fetch-dermamnist
.PHONY: tabletop t2i-corpus
.PHONY: audit-inputs audit-kill audit-determinism audit-containers
.PHONY: doctor gpu-check images test lint clean

help: ## this page
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-26s %s\n", $$1, $$2}' Makefile
	@sed -n 's/^#? *//p' Makefile

reproduce-solid: ## SOLID: meshes (yours: MESHES=/path) -> rendered store -> trained detectors
	@$(RUN) reproduce solid

reproduce-dense-detector: ## the small single-stage detector: annotations -> training -> AP
	@$(RUN) reproduce dense-detector

reproduce-gafi: ## GaFi: GANs, filtered pictures, classifiers that never saw a real one
	@$(RUN) reproduce gafi

reproduce-sample-synthesis: ## cut-outs -> synthetic images -> detectors (OBJECT=qr|face|bird|car|all)
	@$(RUN) reproduce sample-synthesis

reproduce-imaginarynet: ## class names -> pictures -> detectors (SETTING=isod,wsod,ssod DETECTOR=oicr)
	@$(RUN) reproduce imaginarynet

reproduce: ## every paper that is here, then the report; also compare: which data help?
	@$(RUN) reproduce all && $(RUN) report

# Named in the line above.
compare:
	@$(RUN) reproduce compare

plan: ## stages, shards, what is up to date and why not, disk, time; starts nothing
	@$(RUN) plan

status: ## what runs, what is left, how the last launches ended
	@$(RUN) status

logs: ## the last lines of a stage's log (STAGE=targets)
	@$(RUN) logs

shell: ## a shell in a toolchain (TOOLCHAIN=blender)
	@$(RUN) shell

report: ## one page about all runs: published beside measured, curves, pictures, audits
	@$(RUN) report

fetch-meshes: ## download more meshes for SOLID (300 MB, by digest) into data/packages
	@$(RUN) fetch-meshes

fetch-fashion-mnist: ## a data set of GaFi; also fetch-cifar10, -cifar100, -cinic10, -dermamnist
	@$(RUN) fetch-data fashion-mnist

# Named in the line above: help has room for one.
fetch-cifar10 fetch-cifar100 fetch-cinic10 fetch-dermamnist:
	@$(RUN) fetch-data $(@:fetch-%=%)

tabletop: ## render the embedded target set again (COUNT=20: so many); also t2i-corpus
	@$(RUN) tabletop

# Named in the line above.
t2i-corpus:
	@$(RUN) t2i-corpus

doctor: ## what is missing on this machine, each line with its remedy
	@$(RUN) doctor

gpu-check: ## one kernel of each framework on the GPU
	@$(RUN) gpu-check

images: ## build the container images (TOOLCHAIN=blender: only that one)
	@$(RUN) images

audit-inputs: ## malformed inputs end in one line; also audit-kill, -determinism, -containers
	@$(RUN) audit inputs

# Named in the line above.
audit-kill audit-determinism audit-containers:
	@$(RUN) audit $(@:audit-%=%)

test: ## lint and the tests without GPU or container (.ci/run adds the slow ones)
	@$(RUN) test

# Named in the line above.
lint:
	@$(RUN) test lint

clean: ## list the runs, ask, delete them (FORCE=1: do not ask); never data/
	@$(RUN) clean

#? SCALE=tiny|smoke|small|paper  PLACE=auto|venv|docker|slurm  DEVICE=auto|cpu|cuda  ACCEL=auto|cpu|cuda
#? SEED=0  JOBS=auto  DATA_DIR=data  RUNS_DIR=runs  PAPER=solid  STRICT=1 (redo what another lock made)
#? OVERRIDES='render.samples=32 store.num_images=128' (any setting of the config)
