package seglog

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path"

	"github.com/holdfast-mq/holdfast/internal/mut"
)

// inOrder takes steps until one fails.
func inOrder(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// unlessMissing returns err unless it says that a file is not there.
func unlessMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// withFile opens a file that is there while do works with it.
func withFile(disk FS, name string, do func(File) error) error {
	f, err := disk.OpenFile(name, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return do(f)
}

// writeFile makes a file, of what fill writes to it, durable but for its name. It is
// closed before it is renamed: not every system renames an open file.
func writeFile(disk FS, name string, fill func(File) error) error {
	f, err := disk.OpenFile(name, os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	err = fill(f)
	if err == nil && !mut.On(mut.DRenameBeforeSync) {
		err = f.Sync()
	}
	return cmp.Or(err, f.Close())
}

// rename gives a file of a directory another name, durably.
func rename(disk FS, dir, from, to string) error {
	err := disk.Rename(path.Join(dir, from), path.Join(dir, to))
	if err == nil && !mut.On(mut.DNoDirSync) {
		err = disk.SyncDir(dir)
	}
	return err
}
