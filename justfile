# The project's commands, one recipe each. Run them with `./dev RECIPE`, which first installs what they need.

set quiet
set positional-arguments
set shell := ["bash", "-euo", "pipefail", "-c"]

# Where Cargo builds, and where the recipes keep what they can make again. Chosen in one place, `dev`.
target := if env("CARGO_TARGET_DIR", "") == "" { error("run the recipes through ./dev") } else { env("CARGO_TARGET_DIR") }
tools := env("XDG_CACHE_HOME", home_directory() / ".cache") / "zoocache/tools"
cargo_deny_version := "0.20.2"
cargo_fuzz_version := "0.13.2"
toolchain := `sed -n 's/^channel *= *"\(.*\)"/\1/p' rust-toolchain.toml`
just := quote(just_executable()) + " --justfile " + quote(justfile())

# One abi3 wheel, in dist/, serves every Python from 3.10 on; the tests run on each of these that is present.
python_versions := "3.10 3.11 3.12 3.13"
python_code := "python examples docs tests .ci"

_default:
    {{ just }} --list --unsorted

# ---- The main job ------------------------------------------------------------------------------

# Build the wheel and run the example: a store that caches its SQLite reads; with --lmdb or --redis in four processes
[group('use')]
example *arguments: wheel
    python examples/store "$@"

# Build the wheel and install it into .venv
[group('use')]
wheel: _build-wheel (_install-wheel "python")

# Cargo's lines show that something goes on; maturin's say nothing new.
_build-wheel:
    maturin build --release --manifest-path python/Cargo.toml --out dist 2>&1 \
        | { grep --line-buffered -vE '^(🍹|🐍|🔗|📡|📦)|^ +Finished ' || true; }

# The wheel keeps its name when its content changes, so pip is told to replace it; not when it is the same.
_install-wheel python:
    #!/usr/bin/env bash
    set -euo pipefail
    wheel=$(ls -t dist/zoocache-*.whl | head -n 1)
    stamp=$("{{ python }}" -c 'import sys; print(sys.prefix)')/zoocache-wheel.sha256
    sum=$(sha256sum "$wheel")
    if [ "$(cat "$stamp" 2>/dev/null)" != "$sum" ]; then
        "{{ python }}" -m pip install --quiet --force-reinstall --no-deps "$wheel"
        echo "$sum" >"$stamp"
    fi

# Build the WebAssembly components into dist/, and check what they import, their size and their WIT
[group('use')]
component:
    cargo run --quiet --package xtask

# A store in Rust that caches its reads; with --engine component on the WebAssembly component, which gives the same table
[group('use')]
example-rust *arguments: component
    cargo run --quiet --profile hosts -p zoocache --features component-host --example store -- "$@"

# ---- Tests -------------------------------------------------------------------------------------

# All tests, the Python ones on the interpreter of .venv
[group('test')]
test: test-core test-host test-loom test-models test-fuzz test-docs simulation mutants hosts test-python test-browser test-python-lmdb test-python-redis test-processes test-redis-processes

# The engine: its tests, and that it builds without std and for WebAssembly
[group('test')]
test-core:
    cargo test -p zoocache-core
    cargo test -p zoocache-core --lib --features component-cache component_cache
    cargo build -p zoocache-core --target wasm32-unknown-unknown
    cargo build -p zoocache-core --target x86_64-unknown-none

# Every other Rust package
[group('test')]
test-host:
    cargo test --workspace --exclude zoocache-core --exclude 'zoocache-hosts-*' --exclude 'zoocache-simul*'
    cargo test -p zoocache --features lmdb,redis
    cargo test -p zoocache-simulated-redis

# The component in every host: the vectors, what judging costs, the same answers as the native engine, hostile arguments for
# a minute (ZOOCACHE_FUZZ_SECONDS), the examples
[group('test')]
hosts: component
    cargo run --quiet --profile hosts -p zoocache-hosts-rust
    ZOOCACHE_FUZZ_SECONDS=${ZOOCACHE_FUZZ_SECONDS:-60} cargo test --quiet --profile hosts -p zoocache-hosts-rust -- --nocapture
    cargo test --quiet --profile hosts -p zoocache --features component-host --test component
    cargo build --quiet --profile hosts -p zoocache --features component-host --example store
    cmp <("{{ target }}/hosts/examples/store" --engine native) <("{{ target }}/hosts/examples/store" --engine component)
    python tests/hosts/python/run.py
    python -m pytest -c python/pyproject.toml -q tests/hosts/python
    npm ci --silent --prefix tests/hosts/js
    npm test --silent --prefix tests/hosts/js
    cargo run --quiet --package xtask -- shop
    cargo run --quiet --profile hosts -p zoocache-hosts-wasi

# `test-host` runs it too, in a debug build and without Python: with the assertions of that build, and in seconds.
# ZOOCACHE_READS=1000000 ZOOCACHE_KILLS=200 make it longer (100000 and 20); ZOOCACHE_SEED repeats the choices of a
# run, and ZOOCACHE_KEEP=1 keeps its histories, which are kept in any case if a promise was broken.
# Rust and Python processes that share a folder and are killed at random, and what they saw against the promises
[group('test')]
test-processes: wheel
    ZOOCACHE_PYTHON=$(command -v python) cargo test -p zoocache --features lmdb --release --test processes

# ZOOCACHE_READS=3000000 ZOOCACHE_FAULTS=300 make it longer (300000, and one of each kind); ZOOCACHE_FAULT names the only
# fault to happen, ZOOCACHE_MIX=Heavy or Calm has other nodes take part; ZOOCACHE_SEED and ZOOCACHE_KEEP as above.
# Six processes that share a Redis, which is killed, stopped, emptied, rolled back and cut off, and what they saw
[group('test')]
test-redis-processes:
    cargo test -p zoocache --features redis --release --test redis_processes

# Those processes without one protection after the other: the faults they protect from must be noticed
[group('test')]
test-redis-mutants:
    ZOOCACHE_MUTANTS=1 cargo test -p zoocache --features redis,mutants --release --test redis_processes

# seeds=N from=N run others (10000 from 0); seed=N runs one and tells its story; ground=NAME runs them all there.
# Whole clusters in one thread, with faults that follow from a seed, against the promises: finds what no schedule of real ones does
[group('test')]
simulation *arguments:
    cargo run --quiet --profile hosts -p zoocache-simulation -- "$@"

# The simulation without one protection after the other: each must be missed
[group('test')]
mutants *arguments:
    cargo run --quiet --profile hosts -p zoocache-simulation -- mutants "$@"

# What docs/proof.md tells of, anew: writes the figures into it
[group('test')]
proof:
    cargo build --quiet --profile hosts -p zoocache-simulation
    python tests/proof.py "{{ target }}/hosts/zoocache-simulation" memory folder redis bus gossip

# So many hours of real processes on LMDB and on Redis, and of new seeds, with a summary
[group('test')]
soak hours="0.5":
    python tests/soak.py "$@"

# The engine's atomics under every interleaving, and without one protection after the other, which must be missed
[group('test')]
test-loom:
    RUSTFLAGS="--cfg loom" cargo test -p zoocache-core --release --features mutants --test loom --target-dir "{{ target }}/loom"

# `test-host` runs them too, smaller and without the mutants of single flight.
# Single flight, LMDB's order and Redis's scripts in every order of their steps; and without one protection after the other
[group('test')]
test-models:
    cargo test -p zoocache --profile hosts --features mutants --test flight_model --test lmdb_model --test redis_model

# What must hold of decoders and engines whatever they are given: the fuzz targets over their corpora and generated inputs
[group('test')]
test-fuzz:
    cargo test --quiet --manifest-path core-wasm/fuzz/Cargo.toml --workspace --no-default-features

# ZOOCACHE_FUZZ_SECONDS=300 looks longer at each (10), ZOOCACHE_FUZZ_TARGETS names those to look at. What is found of use is
# kept in the target directory, and the next run goes on from there. Without a sanitizer, which costs most of the speed: what
# is fuzzed has no unsafe code. ZOOCACHE_FUZZ_SANITIZER=address looks for misused memory in dependencies; it needs a nightly.
# The same, and further with cargo-fuzz: from the corpora to wherever the code leads
[group('test')]
fuzz: test-fuzz
    #!/usr/bin/env bash
    set -euo pipefail
    only() {
        echo "$1: only the corpora and generated inputs were run"
        exit 0
    }
    command -v c++ >/dev/null || only "no C++ compiler, which libFuzzer needs"
    tool="{{ tools }}/bin/cargo-fuzz"
    if [ "$("$tool" --version 2>/dev/null)" != "cargo-fuzz {{ cargo_fuzz_version }}" ]; then
        echo "compiling cargo-fuzz {{ cargo_fuzz_version }} into {{ tools }}, once"
        cargo install --quiet --locked --force --root "{{ tools }}" cargo-fuzz@{{ cargo_fuzz_version }} ||
            only "cargo-fuzz cannot be installed"
    fi
    compiler=$(rustup toolchain list | grep -o '^nightly[^ ]*' | head -n 1 || true)
    compiler=${compiler:-{{ toolchain }}} sanitizer=${ZOOCACHE_FUZZ_SANITIZER:-none}
    echo "fuzzing with $compiler, sanitizer: $sanitizer"
    export CARGO_TARGET_DIR={{ quote(target) }}/fuzz PATH="{{ tools }}/bin:$PATH" ASAN_OPTIONS=detect_odr_violation=0
    for package in core-wasm host-native; do
        cd "{{ justfile_directory() }}/$package"
        cargo "+$compiler" fuzz build --sanitizer "$sanitizer" 2>&1 | { grep -vE '^ +(Compiling|Finished) ' || true; }
        for name in $("$tool" list); do
            [[ " ${ZOOCACHE_FUZZ_TARGETS:-$name} " == *" $name "* ]] || continue
            program=$(ls -t "$CARGO_TARGET_DIR"/*/release/"$name" | head -n 1)
            found=$CARGO_TARGET_DIR/found/$name
            mkdir -p "$found" fuzz/artifacts
            options=(-max_total_time="${ZOOCACHE_FUZZ_SECONDS:-10}" -max_len=1100 -timeout=10 -artifact_prefix=fuzz/artifacts/)
            if ! told=$("$program" "${options[@]}" "$found" "fuzz/corpus/$name" 2>&1); then
                echo "$told" | tail -n 60
                echo "$package $name: failed; the input is in $package/fuzz/artifacts" >&2
                exit 1
            fi
            echo "$package $name: $(echo "$told" | grep '^Done'), $(ls "fuzz/corpus/$name" | wc -l) inputs to begin with, $(ls "$found" | wc -l) found"
        done
    done

# The examples in README.md and docs/
[group('test')]
test-docs: wheel
    python -m pytest -c python/pyproject.toml docs

# The Python tests, on the interpreter of .venv; arguments go to pytest
[group('test')]
[working-directory('python')]
test-python *arguments: wheel
    if [ $# -gt 0 ]; then python -m pytest tests --ignore tests/browser "$@"; else {{ just }} _pytest python $(cd tests && ls -d contrib_* dashboard test_example_servers.py); fi

# The dashboard's page in a headless Chromium; arguments go to pytest
[group('test')]
[working-directory('python')]
test-browser *arguments: wheel
    python -m pytest tests/browser "$@"

# The tests, and those with frameworks in processes of their own: the collector, which runs after each test, would look at
# all that was imported and left behind.
[working-directory('python')]
_pytest python *frameworks:
    #!/usr/bin/env bash
    set -euo pipefail
    python=$1
    shift
    "$python" -m pytest tests --ignore-glob='tests/contrib_*' --ignore tests/test_example_servers.py \
        --ignore tests/dashboard --ignore tests/browser
    for framework in "$@"; do
        "$python" -m pytest "tests/$framework"
    done

# Those Python tests once more that other storages could fail, in a folder that processes could share
[group('test')]
test-python-lmdb: (_test-python-storage "lmdb")

# The same on a Redis server of their own
[group('test')]
test-python-redis: (_test-python-storage "redis")

[working-directory('python')]
_test-python-storage storage: wheel
    python -m pytest --storage {{ storage }} \
        tests/test_{affected,asyncio,background,batch,bulk,caches,changing,consistent_after,context,coroutines}.py \
        tests/test_{delete,flights,freshness,function_api,invalidates,lifetimes,listeners,methods,options}.py \
        tests/test_{recent_calls,stale_values,stress}.py

# The Python tests, on every interpreter of python_versions that is present, each in an environment of its own; two at a time
[group('test')]
test-python-all: wheel
    #!/usr/bin/env bash
    set -euo pipefail
    present=()
    for version in {{ python_versions }}; do
        if [ -n "$({{ just }} _python "$version")" ]; then
            present+=("$version")
        else
            echo "Python $version: not present, not tested"
        fi
    done
    [ ${#present[@]} -gt 0 ] || { echo "none of these is present: Python {{ python_versions }}" >&2; exit 1; }
    printf '%s\n' "${present[@]}" | xargs -P 2 -I VERSION {{ just }} _test-python-version VERSION

# Prints which program is this version of Python; nothing if there is none that can make environments.
_python version:
    #!/usr/bin/env bash
    # pyenv puts a `python3.13` on the PATH that fails unless activated: take what runs.
    for candidate in "python{{ version }}" "${PYENV_ROOT:-$HOME/.pyenv}/versions/{{ version }}".*/bin/python; do
        if "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then
            echo "$candidate"
            break
        fi
    done

_test-python-version version:
    #!/usr/bin/env bash
    set -euo pipefail
    python=$({{ just }} _python {{ version }})
    # The oldest and the newest Django that are supported; the one between is in tools.txt. What is no matter of the
    # version of Python or Django is tested on one.
    frameworks=(contrib_django contrib_django_cache dashboard)
    case {{ version }} in
    3.10) django="django==4.2.30 djangorestframework==3.16.1" ;;
    3.11) django= frameworks+=(contrib_fastapi contrib_litestar contrib_sqlalchemy test_example_servers.py) ;;
    3.12) django="django==6.1.3 djangorestframework==3.18.3" frameworks=() ;;
    *) django="django==6.1.3 djangorestframework==3.18.3" ;;
    esac
    venv={{ quote(target) }}/venvs/{{ version }}
    wanted=$("$python" -VV && cat tools.txt && echo "$django")
    if [ "$(cat "$venv/installed.txt" 2>/dev/null)" != "$wanted" ]; then
        rm -rf "$venv"
        "$python" -m venv "$venv"
        # tools.txt as constraints: the same versions as in .venv, of what the tests import. They have no extras.
        "$venv/bin/python" -m pip install --quiet \
            --constraint <(sed 's/\[.*\]//' tools.txt | if [ -n "$django" ]; then grep -v '^django'; else cat; fi) \
            attrs hypothesis msgspec numpy pydantic pytest ${django:-django djangorestframework} \
            aiosqlite fastapi httpx litestar 'psycopg[binary]' python-multipart starlette 'sqlalchemy[asyncio]' uvicorn \
            click textual opentelemetry-exporter-otlp-proto-http opentelemetry-sdk prometheus-client pyyaml
        echo "$wanted" >"$venv/installed.txt"
    fi
    {{ just }} _install-wheel "$venv/bin/python"
    told=$(mktemp)
    trap 'rm -f "$told"' EXIT
    has_passed=true
    {{ just }} _pytest "$venv/bin/python" "${frameworks[@]}" >"$told" 2>&1 || has_passed=false
    # In one piece: another version is tested at the same time.
    echo "Python $("$venv/bin/python" -c 'import platform; print(platform.python_version())'):"
    cat "$told"
    $has_passed

# The Python tests on a free-threaded interpreter, if there is one: a wheel of its own, since abi3 has none for it
[group('test')]
test-python-free-threaded:
    #!/usr/bin/env bash
    set -euo pipefail
    python=
    for version in 3.14t 3.13t; do
        for candidate in "python$version" "${PYENV_ROOT:-$HOME/.pyenv}/versions/${version%t}".*t/bin/python; do
            if "$candidate" -c 'import ensurepip, sysconfig, sys; sys.exit(not sysconfig.get_config_var("Py_GIL_DISABLED"))' >/dev/null 2>&1; then
                python=$candidate
                break 2
            fi
        done
    done
    if [ -z "$python" ]; then
        echo "no free-threaded interpreter present, not tested"
        exit 0
    fi
    venv={{ quote(target) }}/venvs/free-threaded
    rm -rf "$venv"
    "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --constraint <(sed 's/\[.*\]//' tools.txt) hypothesis pytest
    dist=$(mktemp -d)
    trap 'rm -rf "$dist"' EXIT
    PYO3_PYTHON="$venv/bin/python" maturin build --release --manifest-path python/Cargo.toml --interpreter "$venv/bin/python" \
        --no-default-features --features extension-module --out "$dist"
    "$venv/bin/python" -m pip install --quiet --no-deps "$dist"/zoocache-*.whl
    (cd python && "$venv/bin/python" -m pytest tests)

# ---- Lint --------------------------------------------------------------------------------------

# Everything that judges the code without running it
[group('lint')]
lint: fmt-check clippy ruff mypy pyright stubtest deny

# Format Rust and Python
[group('lint')]
fmt:
    cargo fmt --all
    ruff format --config python/pyproject.toml {{ python_code }}
    ruff check --config python/pyproject.toml --fix --quiet {{ python_code }}

# Formatting of Rust and Python
[group('lint')]
fmt-check:
    cargo fmt --all --check
    ruff format --config python/pyproject.toml --quiet --diff {{ python_code }}

# Rust lints
[group('lint')]
clippy:
    cargo clippy --workspace --exclude 'zoocache-simul*' --all-targets -- -D warnings
    cargo clippy -p zoocache-simulation -p zoocache-simulated-redis --all-targets -- -D warnings
    cargo clippy -p zoocache --all-targets --all-features -- -D warnings
    for world in component component-cache component-bus; do \
        cargo clippy -p zoocache-core --features "$world" --target wasm32-unknown-unknown -- -D warnings; \
    done

# Formatting and lints of the fuzz targets, which are a workspace of their own
[group('lint')]
lint-fuzz:
    cargo fmt --manifest-path core-wasm/fuzz/Cargo.toml --package zoocache-core-fuzz --package zoocache-fuzz --check
    cargo clippy --manifest-path core-wasm/fuzz/Cargo.toml --workspace --all-targets --no-default-features -- -D warnings

# Python lints
[group('lint')]
ruff:
    ruff check --config python/pyproject.toml --quiet {{ python_code }}

# Types of the Python sources, and of the programs in tests/typing that a user could write
[group('lint')]
mypy:
    python -m mypy --config-file python/pyproject.toml tests/hosts/python examples/embed-python python/src {{ if path_exists("python/tests/typing") == "true" { "python/tests/typing" } else { "" } }}

# Types as pyright, and so many an editor, sees them, of the same programs
[group('lint')]
pyright:
    python -m pyright --project python

# The stubs against the installed wheel
[group('lint')]
stubtest: wheel
    python -m mypy.stubtest zoocache --mypy-config-file python/pyproject.toml --allowlist python/stubtest-allowlist.txt

# Licences and sources of the Rust dependencies
[group('lint')]
deny: _cargo-deny
    "{{ tools }}/bin/cargo-deny" --log-level error --workspace --all-features check licenses bans sources

_cargo-deny:
    #!/usr/bin/env bash
    set -euo pipefail
    tool="{{ tools }}/bin/cargo-deny"
    if [ "$("$tool" --version 2>/dev/null)" != "cargo-deny {{ cargo_deny_version }}" ]; then
        echo "compiling cargo-deny {{ cargo_deny_version }} into {{ tools }}, once; this takes some minutes"
        cargo install --quiet --locked --force --root "{{ tools }}" cargo-deny@{{ cargo_deny_version }}
    fi

# ---- Documentation, packages, benchmarks -------------------------------------------------------

# The Rust reference, without a warning
[group('build')]
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# The wheel installs and works in an empty environment; so does what the source distribution builds
[group('build')]
package-check: (_package-check "wheel") (_package-check "sdist")

_package-check kind: _build-wheel
    #!/usr/bin/env bash
    set -euo pipefail
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    python -m venv "$work/venv"
    if [ {{ kind }} = wheel ]; then
        # --no-index: the wheel needs no other package, or this fails.
        "$work/venv/bin/python" -m pip install --quiet --no-index "$(ls -t dist/zoocache-*.whl | head -n 1)"
    else
        maturin sdist --manifest-path python/Cargo.toml --out "$work" 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
        # Built far from the checkout, so that a file missing from the archive is missing; always in the same place,
        # so that builds do not pile up; and dated now (-m), so that Cargo sees what changed.
        export CARGO_TARGET_DIR={{ quote(target) }}/sdist RUSTUP_TOOLCHAIN={{ quote(toolchain) }}
        source=$CARGO_TARGET_DIR/source
        rm -rf "$source"
        mkdir -p "$source"
        tar -xzmf "$work"/zoocache-*.tar.gz -C "$source" --strip-components 1
        cd "$source"
        "$work/venv/bin/python" -m pip install --quiet .
    fi
    cd "$work"
    "$work/venv/bin/python" -I "{{ justfile_directory() }}/.ci/check_installed.py"
    echo "the {{ kind }} installs and works"

# The benchmarks: the Python package beside its peers, into docs/benchmarks/; then the Rust crates
[group('build')]
bench: _build-wheel _venv-bench (_install-wheel ".venv-bench/bin/python")
    .venv-bench/bin/python python/benchmarks/memory.py
    .venv-bench/bin/python python/benchmarks/races.py
    cargo bench -p zoocache --features lmdb --bench lmdb -- --json "{{ target }}/bench-lmdb.json"
    .venv-bench/bin/python python/benchmarks/lmdb_folder.py --rust "{{ target }}/bench-lmdb.json"
    cargo bench -p zoocache --features redis --bench redis -- --json "{{ target }}/bench-redis.json"
    .venv-bench/bin/python python/benchmarks/redis_server.py --rust "{{ target }}/bench-redis.json"
    cargo bench --workspace --exclude zoocache-python --exclude 'zoocache-simul*'

_venv-bench:
    #!/usr/bin/env bash
    set -euo pipefail
    venv=.venv-bench
    wanted=$(python -VV && cat python/benchmarks/requirements.txt)
    if [ "$(cat "$venv/installed.txt" 2>/dev/null)" != "$wanted" ]; then
        rm -rf "$venv"
        python -m venv "$venv"
        # One by one: a peer that does not install on this Python is named in the results, and the others are measured.
        for requirement in $(grep -o '^[^#]*==[^ #]*' python/benchmarks/requirements.txt); do
            "$venv/bin/python" -m pip install --quiet "$requirement" || echo "$requirement does not install here" >&2
        done
        echo "$wanted" >"$venv/installed.txt"
    fi

# ---- Continuous integration --------------------------------------------------------------------

# What every change must pass, in one go; tests last
[group('ci')]
ci: (_timed "lint") (_timed "doc") (_timed "package-check") (_timed "example") (_timed "test-core") (_timed "test-host") (_timed "test-loom") (_timed "test-models") (_timed "test-fuzz") (_timed "simulation") (_timed "mutants") (_timed "test-docs") (_timed "hosts") (_timed "test-processes") (_timed "test-redis-processes") (_timed "test-python-lmdb") (_timed "test-python-redis") (_timed "test-browser") (_timed "test-python-all")

_timed recipe:
    #!/usr/bin/env bash
    set -euo pipefail
    echo "=== {{ recipe }}"
    {{ just }} {{ recipe }}
    echo "=== {{ recipe }}: ${SECONDS} s"
