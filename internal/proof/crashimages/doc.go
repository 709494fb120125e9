// Package images is a test part: it lets a store or a journal die at every
// change it makes to its disk, builds every image that a crash may leave
// there, and has the next process recover from each, use it, and die again.
//
// A [Subject] is what dies. Its script is run again and again, each time on a
// disk (package memfs) that dies one change later. What the disk may hold then
// is enumerated (memfs.Images): the kill of the process, and of a power cut
// every fate of every change that wasn't synced, whole, torn at every byte,
// with zeros or anything in its place, and each name that wasn't durable there
// or not. On each image a [Life] opens the store, compares what it finds with
// what it was promised before (I9 of the design: nothing acknowledged is
// missing, nothing let go comes back, nothing is invented, no number is given
// out twice), and uses it once more. That use, and every few images the
// recovery itself, dies as well, at a drawn change and with a drawn image;
// what is left then is judged in the same way.
//
// Beside that each change fails once, with EIO, ENOSPC, or half of a write, and
// each read while opening; and what lies on the disk is damaged, in each field
// of each record ([Damages]): a store says so and gives up what was damaged only,
// two journals of a pair give each other back what one of them has.
//
// What bounds it: two files with changes that aren't durable don't meet all of
// their fates crosswise (while one meets all of its own the other has all of
// its changes, or none); of more than four names changed at once not every
// combination is made; a write of more than 256 bytes is torn where its
// content changes between zeros and others, at sectors, and at each byte near
// its ends; a write that is not a file's newest is torn at its first, middle
// and last byte; and the second life is drawn.
package crashimages
