//go:build !mut

package seglog

func (r *recovery) inPlacePlanted(bool) {}
