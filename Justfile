# One-line recipes; each calls xtask or cargo, so `just` is never required.

# List the recipes
default:
    @just --list

# Type-check everything
check:
    cargo check --workspace --all-targets

# Format the code
fmt:
    cargo fmt --all

# Clippy, warnings are errors
lint:
    cargo clippy --workspace --all-targets -- --deny warnings

# Fetch Envoy, build, run all tests (or those whose name contains FILTER)
test filter="":
    cargo xtask test {{filter}}

# Write what the golden tests got into their expectations
bless filter="":
    cargo xtask bless {{filter}}

# Check each package alone
check-each:
    cargo xtask ci --only check-each

# Build the documentation, warnings are errors
doc:
    cargo xtask ci --only doc

# Licences, bans and sources of dependencies
deny:
    cargo xtask ci --only deny

# A mesh on this machine
demo *args:
    cargo xtask demo {{args}}

# Tests on a real Kubernetes node
e2e filter="":
    cargo xtask e2e {{filter}}

# Measure: edit or spine
bench name:
    cargo xtask bench {{name}}

# A real Kubernetes node: up, down, env, build, load
cluster *args:
    cargo xtask cluster {{args}}

# Write generated files
generate *args:
    cargo xtask generate {{args}}

# Everything that must hold before a merge
ci:
    cargo xtask ci
