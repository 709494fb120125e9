// Package smalldisk runs tests on a real file system that is small enough to fill, on Linux.
package smalldisk
