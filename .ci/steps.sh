# To be sourced: steps that are timed, each with a budget of seconds on two idle
# cores. HOLDFAST_CI_PACE multiplies the budgets on a slower or shared machine.
pace=${HOLDFAST_CI_PACE:-1}
steps=() name='' budget=0 begun=0

# step BUDGET NAME: the next step begins; the one before fails if it took too long.
step() {
  end_step
  budget=$(($1 * pace)) name=$2 begun=$SECONDS
  printf '\n== %s (%ss so far, %ss may be)\n' "$name" "$SECONDS" "$budget"
}

end_step() {
  [ -n "$name" ] || return 0
  local took=$((SECONDS - begun)) ended=$name
  name=''
  steps+=("$(printf '%6d %6d  %s' "$took" "$budget" "$ended")")
  if [ "$took" -gt "$budget" ]; then
    printf 'the step "%s" took %d s, its budget is %d s\n' "$ended" "$took" "$budget"
    exit 1
  fi
}

# table prints how long each step took, also one that has failed.
table() {
  [ -z "$name" ] || steps+=("$(printf '%6d %6d  %s (FAILED)' $((SECONDS - begun)) "$budget" "$name")")
  printf '\n  took    may  seconds of each step\n'
  printf '%s\n' "${steps[@]}"
  printf '%6d         in all\n' "$SECONDS"
}
trap table EXIT
