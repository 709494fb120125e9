// Command image writes a container image of holdfastd as a tar that docker load
// and podman load take. It needs no daemon and no network, and makes the same
// bytes of the same program.
//
//	image -program holdfastd -arch amd64 -tag holdfastd:0.1.0 -created 1700000000 -o holdfastd.tar
package main

import (
	"archive/tar"
	"bytes"
	"flag"
	"io"
	"log"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// user owns the data in the image and runs the program, as in server/deploy/Containerfile.
const user = 65532

func main() {
	log.SetFlags(0)
	program := flag.String("program", "", "the program, linked statically")
	arch := flag.String("arch", "", "amd64 or arm64")
	tag := flag.String("tag", "", "name of the image")
	created := flag.Int64("created", 0, "time of the image, in seconds since the Unix epoch")
	out := flag.String("o", "", "file to write")
	flag.Parse()
	if err := write(*program, *arch, *tag, time.Unix(*created, 0).UTC(), *out); err != nil {
		log.Fatal("image: ", err)
	}
}

func write(program, arch, tag string, created time.Time, out string) error {
	layer, err := layer(program, created)
	if err != nil {
		return err
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return err
	}
	image, err = mutate.ConfigFile(image, configured(image, arch, created))
	if err != nil {
		return err
	}
	ref, err := name.NewTag(tag)
	if err != nil {
		return err
	}
	return tarball.WriteToFile(out, ref, image)
}

// configured returns the image's configuration: that of server/deploy/Containerfile.
func configured(image v1.Image, arch string, created time.Time) *v1.ConfigFile {
	file, err := image.ConfigFile()
	if err != nil {
		log.Fatal("image: ", err) // it is in memory
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = "linux", arch, v1.Time{Time: created}
	for i := range file.History {
		file.History[i].Created = v1.Time{Time: created}
	}
	file.Config = v1.Config{
		User:         "65532:65532",
		Entrypoint:   []string{"/holdfastd", "-config", "/etc/holdfast.yaml"},
		ExposedPorts: map[string]struct{}{"9007/tcp": {}, "9107/tcp": {}, "8085/tcp": {}},
		Volumes:      map[string]struct{}{"/data": {}},
		StopSignal:   "SIGTERM",
	}
	return file
}

// layer returns the one layer: the program, and a directory for its journal.
func layer(program string, created time.Time) (v1.Layer, error) {
	binary, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	for _, f := range []struct {
		header tar.Header
		body   []byte
	}{
		{tar.Header{Name: "data/", Typeflag: tar.TypeDir, Mode: 0o700, Uid: user, Gid: user}, nil},
		{tar.Header{Name: "holdfastd", Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(binary))}, binary},
	} {
		f.header.ModTime = created
		if err := w.WriteHeader(&f.header); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.body); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files.Bytes())), nil })
}
