// Command chaos tests the real thing on a real kernel: a pair of holdfastd
// processes, publishers and subscribers in processes of their own, each in a
// network namespace of its own, and faults: processes killed and stopped, links
// cut, thinned and throttled, disks full, failing, slow, replaced, and power
// cut. It prints what happened, and at the end what package checker says of it,
// from a history of what the clients said and a reading of both journals of its
// own: whether anything was lost, duplicated or out of order. It exits with 0
// only if nothing was; otherwise it leaves its directory, with the seed, the
// report, the history, both journals and all logs, and names it.
//
//	go run . -duration 2m -seed 7
//	go run . -faults kill,stop,power
//	go run . -kills 1000 -partitions 100 # about half an hour
//	go run . -judge DIRECTORY            # of an earlier run, once more
//
// It needs Linux and root, and of the tools ip, nft, tc, strace and mkfs.ext4
// those that the faults asked for are made of; a kind of fault that can't be
// had is reported as SKIP, and fails a run whose -skips don't list it. On
// Debian they are in the packages iproute2, nftables, strace and e2fsprogs.
// Built with the tag failpoint, it and a holdfastd built so too do what HOLDFAST_FAILPOINT
// plants in them, which a run must come out against. Everything happens in
// namespaces that end with the process, whichever way it ends: processes,
// mounts, loop devices, networks.
package main
