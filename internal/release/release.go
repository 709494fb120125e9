// Package release says what was built.
package release

import "runtime/debug"

// Version returns the version of the module that the program was built from,
// "dev" where the build doesn't know one.
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}
