# shellcheck shell=bash
# What .ci/run and .ci/long share: steps that are timed and counted, and go on after a failure.
#
# step NAME COMMAND...      one step, counted as one.
# counted NAME COMMAND...   a step whose output counts for itself: cargo's "test result: ok. N passed; M failed" lines, or
#                           a last line "N passed, M failed". One that fails without saying what counts as one failure.
# finish                    prints what each step took and, as the last line, "N passed, M failed".
#
# A COMMAND may be a function, but runs with "set -e" off: join its parts with "&&".

passed=0
failed=0
rows=()
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

run_step() { # NAME COMMAND...: sets status and seconds, leaves the output in $logs/step
    local begin=$SECONDS
    printf '\n=== %s\n' "$1"
    shift
    set +e
    "$@" </dev/null 2>&1 | tee "$logs/step"
    status=${PIPESTATUS[0]}
    set -e
    seconds=$((SECONDS - begin))
}

record() { # NAME PASSED FAILED
    passed=$((passed + $2))
    failed=$((failed + $3))
    local verdict=ok
    [ "$3" -eq 0 ] || verdict=FAILED
    rows+=("$(printf '%-8s %5d s  %6d passed %4d failed  %s' "$verdict" "$seconds" "$2" "$3" "$1")")
    printf -- '--- %s: %s, %d s\n' "$1" "$verdict" "$seconds"
}

step() {
    local status seconds
    run_step "$@"
    if [ "$status" -eq 0 ]; then record "$1" 1 0; else
        printf 'exit status %d\n' "$status"
        record "$1" 0 1
    fi
}

counted() {
    local status seconds good bad
    run_step "$@"
    read -r good bad < <(count "$logs/step")
    if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
        printf 'exit status %d, and no failed test was named\n' "$status"
        bad=1
    elif [ "$status" -eq 0 ] && [ "$good" -eq 0 ]; then
        printf 'no test was run\n'
        bad=1
    fi
    record "$1" "$good" "$bad"
}

count() { # FILE: prints the passed and the failed
    awk '
        /^test result: / { cargo = 1; good += $4; bad += $6 }
        /^[0-9]+ passed, [0-9]+ failed$/ { last_good = $1; last_bad = $3 }
        END { if (cargo) print good + 0, bad + 0; else print last_good + 0, last_bad + 0 }
    ' "$1"
}

finish() {
    printf '\n=== all steps, %d s\n' "$SECONDS"
    printf '%s\n' "${rows[@]}"
    printf '%d passed, %d failed\n' "$passed" "$failed"
    [ "$failed" -eq 0 ]
}

# Where cargo puts what it builds.
target=${CARGO_TARGET_DIR:-target}

one_core() { # COMMAND...: on the first core that this process may use
    local cores
    cores=$(awk '/^Cpus_allowed_list/ { print $2 }' /proc/self/status)
    taskset -c "${cores%%[-,]*}" "$@"
}

# The swarm must find the bug and name its seed.
mutant_is_found() { # MUTANT SEEDS
    local status=0
    timeout 600 "$target/release/sim" swarm --seeds "$2" --mutant "$1" >"$logs/mutant" 2>&1 || status=$?
    tail -n 40 "$logs/mutant"
    if [ "$status" -ne 1 ]; then
        printf '%s: exit status %d where 1 means that a law was found broken\n' "$1" "$status"
        return 1
    fi
    grep -qiE '\bseed\b[^0-9]{0,9}[0-9]+' "$logs/mutant" || {
        printf '%s: no seed was printed\n' "$1"
        return 1
    }
}

# raft-core stands alone: without std, with each of its features, and with the oldest compiler that it names.
core_alone() {
    local oldest
    oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1.0/p' Cargo.toml)
    cargo check --locked -p raft-core --lib --target thumbv7em-none-eabi &&
        cargo check --locked -p raft-core --lib --target thumbv7em-none-eabi --features serde &&
        CARGO_TARGET_DIR="$target/oldest" cargo "+$oldest" check --locked -p raft-core --lib &&
        CARGO_TARGET_DIR="$target/oldest" cargo "+$oldest" check --locked -p raft-core --lib --features serde
}

examples() {
    cargo run --locked -p raft-core --example three_replicas &&
        cargo run --locked -p raft-core --example replace_a_replica &&
        cargo run --locked -p raft-net --example kv
}

# A seed is a whole history: run twice, it ends with the same hash.
seed_repeats() { # SEED
    "$target/release/sim" run --seed "$1" >"$logs/first" 2>&1 && "$target/release/sim" run --seed "$1" >"$logs/second" 2>&1 &&
        tail -n 1 "$logs/first" && tail -n 1 "$logs/second" &&
        [ "$(tail -n 1 "$logs/first")" = "$(tail -n 1 "$logs/second")" ]
}
