#!/usr/bin/env bash
# A grid as a Slurm array: every element drives its own part of the runs, all into one results folder.
#
#   sbatch docs/examples/slurm.sh table3
#
# Submit the same line again after a time limit or a crash: what is recorded is skipped, what was under way goes on
# from its checkpoint. Then `noiseproof table results --paper`.

#SBATCH --job-name=noiseproof
#SBATCH --array=1-8
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-task=1
#SBATCH --mem=32G
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@60
#SBATCH --output=noiseproof-%A-%a.log

set -euo pipefail
grid=${1:?usage: sbatch slurm.sh GRID}
parts=8
data=${NOISEPROOF_DATA:-data}
results=${NOISEPROOF_RESULTS:-results}

# Slurm runs an element once at a time, so a lock of this part can only be left over from a node that failed; another
# machine cannot see that and would wait for a person.
rm -f "$results"/locks/shard-"$SLURM_ARRAY_TASK_ID"-of-"$parts".*

exec srun noiseproof sweep "$grid" --data-root "$data" --out "$results" --shard "$SLURM_ARRAY_TASK_ID/$parts"
