// Package crashimages is a test part: it lets a store or a journal die at every change it
// makes to its disk, builds every image that a crash may leave there, and has the
// next process recover from each, use it, and die again.
//
// A [Subject] is a kind of store. Its script is run again and again, each time on a
// disk (package memfs) that dies one change later. The possible contents of the disk
// are then enumerated (memfs.Images): the kill of the process; and after a power cut
// every fate of every change that wasn't synced, whole, torn at every byte, with zeros
// or anything in its place, and each name that wasn't durable there or not. On each
// image a [Model] opens the store, compares its content with the earlier promises
// (I9 of the design: nothing acknowledged is missing, nothing let go comes back,
// nothing is invented, no number is given out twice), and uses it once more. That use,
// and every few images the recovery itself, dies as well, at a drawn change and with a
// drawn image. The result is judged in the same way.
//
// Beside that each change fails once, with EIO, ENOSPC, or half of a write, and so does
// each read while opening. Each field of each record on the disk is damaged
// ([Damages]): a store reports that and gives up only the damaged records; the
// journals of a pair give each other back the records that one of them has.
//
// The enumeration is bounded. Two files with changes that aren't durable don't meet all
// of their fates crosswise (while one meets all of its own the other has all of its
// changes, or none). Of more than four names changed at once not every combination is
// made. A write of more than 256 bytes is torn where its content changes between zeros
// and others, at sectors, and at each byte near its ends. A write that is not a file's
// newest is torn at its first, middle and last byte. The second process is drawn.
package crashimages
