package seglog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/fileversion"
)

// refuseNewer returns a *fileversion.VersionError if a later version of this program has written to the
// log. Open and Inspect call it before anything else: to this version a later file looks damaged,
// and Open cuts at damage.
func (r *recovery) refuseNewer() error {
	if failpoint.On(failpoint.R8NewerIsDamage) {
		return nil
	}
	for _, dir := range []string{r.o.Dir, asideDir(r.o.Dir)} {
		names, err := r.o.FS.ReadDir(dir)
		if err := ignoreNotExist(err); err != nil {
			return err
		}
		for _, name := range names {
			if err := r.refuseNewerFile(dir, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// refuseNewerFile is refuseNewer for one file.
func (r *recovery) refuseNewerFile(dir, name string) error {
	magic, places := expectedMagic(name)
	if magic == "" {
		return nil
	}
	return withFile(r.o.FS, path.Join(dir, name), func(f File) error {
		found, err := newerVersion(f, magic, places)
		if err != nil {
			return err
		}
		if found > 0 {
			return &fileversion.VersionError{File: path.Join(dir, name), Found: uint64(found), Known: version}
		}
		if first, ok := parseName(name, suffixLog); ok && dir == r.o.Dir && r.o.CheckHead != nil {
			return r.checkHead(f, first)
		}
		return nil
	})
}

// expectedMagic returns the magic of a file with this name and the offsets where the magic is. The
// magic is empty if no file of the log has such a name.
func expectedMagic(name string) (magic string, places []int64) {
	_, isLog := parseName(name, suffixLog)
	_, isTmp := parseName(name, suffixTmp)
	switch {
	case isLog, isTmp:
		return headerMagic, []int64{0, headerCopyOffset}
	case name == stageName:
		return stageMagic, []int64{0}
	case name == cutName, name == cutName+suffixTmp:
		return cutMagic, []int64{0}
	}
	return "", nil
}

// newerVersion returns the version of a file that a later program wrote, or 0. A version counts if
// the header's checksum is good. It also counts if both copies of the header state the same one,
// since a later version may compute the checksum in another way.
func newerVersion(f File, magic string, places []int64) (found uint32, err error) {
	var unsure []uint32
	for _, at := range places {
		var b [headerSize]byte
		if _, err := f.ReadAt(b[:], at); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		v := binary.LittleEndian.Uint32(b[8:])
		switch {
		case string(b[:8]) != magic || v <= version:
		case checksumValid(b[:]):
			return v, nil
		default:
			unsure = append(unsure, v)
		}
	}
	if len(unsure) == 2 && unsure[0] == unsure[1] {
		return unsure[0], nil
	}
	return 0, nil
}

// headStartLen is the most bytes of a head that CheckHead gets.
const headStartLen = 64

// checkHead asks the owner whether it accepts the head of a segment. A damaged head has no owner
// and is not refused.
func (r *recovery) checkHead(f File, first Position) error {
	s := &segment{header: header{first: first}, dir: r.o.Dir}
	var err error
	if s.size, err = f.Size(); err == nil {
		err = s.readHeader(f)
	}
	if err != nil || s.bad || s.headLen == 0 {
		return err
	}
	start := make([]byte, min(s.headLen, headStartLen))
	if err := readAt(f, start, headOffset); err != nil {
		return err
	}
	refusal := r.o.CheckHead(start)
	if refusal == nil {
		return nil
	}
	if _, err := readHead(f, s); err != nil {
		if _, damaged := errors.AsType[*DamageError](err); damaged {
			return nil
		}
		return err
	}
	if newer, is := errors.AsType[*fileversion.VersionError](refusal); is && newer.File == "" {
		newer.File = s.name()
	}
	return refusal
}

const suffixUnknown = ".unknown"

// renameUnknown renames a file that is in the way of the log and has a header that is not ours. Its
// content is unknown, so nothing ever removes it.
func renameUnknown(disk FS, dir, name string) error {
	names, err := disk.ReadDir(dir)
	if err != nil {
		return err
	}
	base := strings.TrimSuffix(name, suffixLog)
	to := base + suffixUnknown
	for n := 2; slices.Contains(names, to); n++ {
		to = fmt.Sprintf("%s-%d%s", base, n, suffixUnknown)
	}
	return disk.Rename(path.Join(dir, name), path.Join(dir, to))
}

// renameIfForeign calls renameUnknown if the file was made by another program. A file that begins with
// zeros is one of ours after a power cut.
func renameIfForeign(disk FS, dir, name, magic string) error {
	var b [8]byte
	err := withFile(disk, path.Join(dir, name), func(f File) error {
		_, err := f.ReadAt(b[:], 0)
		return err
	})
	if err != nil && !errors.Is(err, io.EOF) {
		return ignoreNotExist(err)
	}
	if b == [8]byte{} || string(b[:]) == magic {
		return nil
	}
	return renameUnknown(disk, dir, name)
}
