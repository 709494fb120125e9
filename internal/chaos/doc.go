// Command chaos tests the real thing on a real kernel: a pair of holdfastd
// processes, publishers and subscribers in processes of their own, each in a
// network namespace of its own, and faults: processes killed and stopped, links
// cut, thinned and throttled, disks full, failing, slow, replaced, and power
// cut. It prints what happened, and at the end, from a history of what the
// clients said and a reading of both journals of its own, whether anything was
// lost, duplicated or out of order. It exits with 0 only if nothing was.
//
//	go run . -duration 2m -seed 7
//	go run . -faults kill,stop,power
//
// It needs Linux and root, and of the tools ip, nft, tc, strace and mkfs.ext4
// those that the faults asked for are made of; a kind of fault that can't be
// had is reported as SKIP. Everything happens in namespaces that end with the
// process, whichever way it ends: processes, mounts, loop devices, networks.
package main
