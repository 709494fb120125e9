// Package buildinfo tells which version of the module a program was built from.
package buildinfo

import "runtime/debug"

// Version returns the version of the module that the program was built from, or "dev" if the
// build does not record one.
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}
