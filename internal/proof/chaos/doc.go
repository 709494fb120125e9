// Command chaos tests real processes on a real kernel: a pair of holdfastd
// processes, publishers and subscribers in processes of their own, each in a
// network namespace of its own, and faults: processes killed and stopped, links
// cut, lossy and throttled, disks full, failing, slow, replaced, and power cut. It
// prints the events, and at the end the verdict of package checker, from the history
// of the clients' events and from a journal reader of its own: was anything lost,
// duplicated or out of order? It exits with 0 only if nothing was. Otherwise it
// leaves its directory, with the seed, the report, the history, both journals and
// all logs, and prints its path.
//
//	go run . -duration 2m -seed 7
//	go run . -faults kill,stop,power
//	go run . -kills 1000 -partitions 100 # about half an hour
//	go run . -judge DIRECTORY            # of an earlier run, once more
//
// It needs Linux and root, and those of the tools ip, nft, tc, strace and mkfs.ext4
// that the requested faults use. A kind of fault that is not available is reported
// as SKIP, and fails a run whose -skips don't list it. On Debian the tools are in the
// packages iproute2, nftables, strace and e2fsprogs. Built with the tag failpoint, it
// and a holdfastd built with the same tag have the planted bugs of HOLDFAST_FAILPOINT;
// a run must find them. Everything happens in namespaces that end with the process,
// whichever way it ends: processes, mounts, loop devices, networks.
package main
