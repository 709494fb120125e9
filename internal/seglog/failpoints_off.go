//go:build !failpoint

package seglog

func (r *recovery) inPlacePlanted(bool) {}
