package users

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// replace replaces a file that is in the given state. A crash leaves either text.
func replace(file, text string, before fileState) error {
	if before.FileInfo == nil || !stateOf(file).equals(before) {
		return fmt.Errorf("%s was changed meanwhile by something else: run the command again", file)
	}
	temp, err := writeTemp(file, text, before)
	if err != nil {
		return fmt.Errorf("change the users: %w", err)
	}
	if err = os.Rename(temp, file); err != nil {
		return errors.Join(fmt.Errorf("change the users: %w", err), os.Remove(temp))
	}
	return syncDir(filepath.Dir(file))
}

// createFile makes a new file. It fails if there is one meanwhile.
func createFile(file, text string) error {
	temp, err := writeTemp(file, text, fileState{})
	if err != nil {
		return fmt.Errorf("make the users file: %w", err)
	}
	err = os.Link(temp, file) // unlike a renaming, it replaces nothing
	if err = errors.Join(err, os.Remove(temp)); err != nil {
		return fmt.Errorf("make the users file: %w", err)
	}
	return syncDir(filepath.Dir(file))
}

// writeTemp writes a durable file beside another one, with the mode and the owner of like.
func writeTemp(file, text string, like fileState) (temp string, err error) {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*.new") // with mode 0600
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(text)
	if like.FileInfo != nil {
		err = cmp.Or(err, copyOwner(f.Name(), like), os.Chmod(f.Name(), like.Mode().Perm()))
	}
	if err = errors.Join(cmp.Or(err, f.Sync()), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// syncDir makes a new name in a directory durable. Windows has no such call and does not need it.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// resolve returns the path of the file that a link leads to, so that the link stays when the file is
// replaced.
func resolve(file string) (string, error) {
	target, err := filepath.EvalSymlinks(file)
	if errors.Is(err, fs.ErrNotExist) {
		err = &os.PathError{Op: "open", Path: file, Err: fs.ErrNotExist}
	}
	return target, err
}

// A fileState tells whether a file has changed. The zero fileState is that of no file.
type fileState struct{ fs.FileInfo }

func stateOf(file string) fileState {
	info, err := os.Stat(file)
	if err != nil {
		return fileState{}
	}
	return fileState{info}
}

// equals compares states by identity, size, time and mode.
func (s fileState) equals(other fileState) bool {
	if s.FileInfo == nil || other.FileInfo == nil {
		return s.FileInfo == nil && other.FileInfo == nil
	}
	return os.SameFile(s.FileInfo, other.FileInfo) && s.Size() == other.Size() && s.ModTime().Equal(other.ModTime()) && s.Mode() == other.Mode()
}
