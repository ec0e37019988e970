# Sourced by the labs' observe.sh, which run on a host: shows a command and what it says.
set -eu
show() {
  printf '\n# %s\n' "$*"
  "$@"
}
