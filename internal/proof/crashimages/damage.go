package crashimages

import (
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// A frame is a record in a file, or one of seglog's own frames.
type frame struct {
	at, end int64
	kind    byte
	payload []byte
}

// frames returns the frames of a segment's file (see package seglog).
func frames(b []byte) (all []frame) {
	const headStart, header = 4160, 16
	if len(b) < headStart {
		return nil
	}
	at := (headStart + int64(binary.LittleEndian.Uint32(b[32:])) + 7) &^ 7
	for at+header <= int64(len(b)) && b[at+8] != 0 {
		n := int64(binary.LittleEndian.Uint32(b[at+4:]))
		end := (at + header + n + 7) &^ 7
		if end > int64(len(b)) {
			break
		}
		all = append(all, frame{at, end, b[at+8], b[at+header : at+header+n]})
		at = end
	}
	return all
}

// A Damage is something wrong at rest with one place of a file.
type Damage struct {
	Kind   string
	File   string
	At     int64
	Mask   []byte // the bits that are wrong
	frames []frame
}

func (d Damage) String() string {
	return fmt.Sprintf("%s of %d bytes at %d of %s", d.Kind, len(d.Mask), d.At, d.File)
}

// Apply damages a disk.
func (d Damage) Apply(disk *memfs.FS) {
	for i, m := range d.Mask {
		if m != 0 {
			disk.FlipBits(d.File, d.At+int64(i), m)
		}
	}
}

// Damages enumerates possible damage to the segments on a disk: one bit of each byte that
// isn't zero, and so of each field; each frame zeroed, or replaced by the one before it;
// each sector replaced by one of another file.
func Damages(disk *memfs.FS) iter.Seq[Damage] {
	return func(yield func(Damage) bool) {
		var names []string
		for _, name := range disk.Names() {
			if strings.HasSuffix(name, ".log") {
				names = append(names, name)
			}
		}
		for i, name := range names {
			b, _ := disk.ReadFile(name)
			other, _ := disk.ReadFile(names[(i+1)%len(names)])
			if !flips(name, b, yield) || !overwrites(name, b, other, yield) {
				return
			}
		}
	}
}

// sample returns every nth damage.
func sample(share int, all iter.Seq[Damage]) iter.Seq[Damage] {
	return func(yield func(Damage) bool) {
		i := 0
		for d := range all {
			if i++; i%max(share, 1) == 0 && !yield(d) {
				return
			}
		}
	}
}

func flips(name string, b []byte, yield func(Damage) bool) bool {
	all := frames(b)
	for at, c := range b {
		if c == 0 && at%97 > 0 {
			continue
		}
		d := Damage{Kind: "bit flip", File: name, At: int64(at), Mask: []byte{1 << (at % 8)}}
		if !yield(d.withFrames(all)) {
			return false
		}
	}
	return true
}

func overwrites(name string, b, other []byte, yield func(Damage) bool) bool {
	all := frames(b)
	write := func(kind string, at int64, old, new []byte) bool {
		mask := make([]byte, len(old))
		for i := range mask {
			mask[i] = old[i]
			if i < len(new) {
				mask[i] ^= new[i]
			}
		}
		d := Damage{Kind: kind, File: name, At: at, Mask: mask}
		return slices.Equal(old, new) || yield(d.withFrames(all))
	}
	for i, f := range all {
		if !write("zeros", f.at, b[f.at:f.end], nil) {
			return false
		}
		if i > 0 && !write("stale record", f.at, b[f.at:f.end], b[all[i-1].at:all[i-1].end]) {
			return false
		}
	}
	for at := 0; at+512 <= min(len(b), len(other)); at += 512 {
		if !write("misdirected sector", int64(at), b[at:at+512], other[at:at+512]) {
			return false
		}
	}
	return true
}

// The header of a segment, and its copy.
const (
	headerBytes  = 64
	headerCopyAt = 4096
)

// hitsLastHeader reports whether the damage hits the only one of a segment's two headers that is as
// the other segments' are: with both damaged, the whole segment cannot be read.
func (d Damage) hitsLastHeader(disk *memfs.FS) bool {
	b, _ := disk.ReadFile(d.File)
	end := d.At + int64(len(d.Mask))
	hits := func(at int64) bool { return d.At < at+headerBytes && at < end }
	return len(b) >= headerCopyAt+headerBytes && (hits(0) || hits(headerCopyAt)) &&
		(hits(0) && hits(headerCopyAt) || !slices.Equal(b[:headerBytes], b[headerCopyAt:headerCopyAt+headerBytes]))
}

// durableCopy returns a disk on which all that was written is durable.
func durableCopy(disk *memfs.FS) *memfs.FS {
	rest := memfs.New()
	for _, name := range disk.Names() {
		b, _ := disk.ReadFile(name)
		rest.WriteFile(name, b)
	}
	return rest
}

// withFrames notes which frames are damaged.
func (d Damage) withFrames(all []frame) Damage {
	end := d.At + int64(len(d.Mask))
	for _, f := range all {
		if f.at < end && d.At < f.end {
			d.frames = append(d.frames, f)
		}
	}
	return d
}
