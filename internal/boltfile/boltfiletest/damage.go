// Package boltfiletest damages database files, for tests of code that opens them.
package boltfiletest

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

// PageSize is the page size of the databases that Image makes. It is small, so that there are
// many pages of every kind.
const PageSize = 1024

// Image returns the content of a database file that fill has filled.
func Image(t testing.TB, fill func(path string)) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: PageSize})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	fill(path)
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// A step of a recipe has five bytes: one of these actions, the page, the offset in the page (two
// bytes), and a value.
const (
	setByte = iota
	flipBits
	setNumber // writes 8 bytes with a small number, such as a page id
	setLarge  // writes 4 bytes with a large number
	copyPage
	cutFile
	clearPage
	steps
)

// Damage returns a copy of a database file with the steps of a recipe applied. If fixChecksums is
// true, its meta pages get valid checksums afterwards, so that bbolt trusts them. An empty recipe
// changes nothing.
func Damage(image, recipe []byte, fixChecksums bool) []byte {
	b := bytes.Clone(image)
	for ; len(recipe) >= 5 && len(b) >= 2*PageSize; recipe = recipe[5:] {
		page := int(recipe[1]) % (len(b) / PageSize) * PageSize
		at := page + int(binary.BigEndian.Uint16(recipe[2:]))%(PageSize-8)
		value := recipe[4]
		switch recipe[0] % steps {
		case setByte:
			b[at] = value
		case flipBits:
			b[at] ^= value
		case setNumber:
			binary.NativeEndian.PutUint64(b[at:], uint64(value))
		case setLarge:
			binary.NativeEndian.PutUint32(b[at:], uint32(value)<<24|0xffffff)
		case copyPage:
			copy(b[page:page+PageSize], b[int(value)%(len(b)/PageSize)*PageSize:])
		case cutFile:
			b = b[:page]
		case clearPage:
			clear(b[page : page+PageSize])
		}
	}
	for at := 16; fixChecksums && at < 2*PageSize && at+64 <= len(b); at += PageSize {
		sum := fnv.New64a()
		sum.Write(b[at : at+56])
		binary.NativeEndian.PutUint64(b[at+56:], sum.Sum64())
	}
	return b
}

// Recipes returns recipes for an image by name.
func Recipes(image []byte) map[string][]byte {
	return map[string][]byte{
		"as it was":                 nil,
		"a branch to itself":        recipeForPages(image, 0x01, func(page byte) []byte { return []byte{setNumber, page, 0, 24, page} }),
		"many free pages":           recipeForPages(image, 0x10, func(page byte) []byte { return []byte{setLarge, page, 0, 8, 255, setLarge, page, 0, 16, 127} }),
		"a page free that is used":  recipeForPages(image, 0x10, func(page byte) []byte { return []byte{setByte, page, 0, 10, 1, setNumber, page, 0, 16, page} }),
		"a value without end":       recipeForPages(image, 0x02, func(page byte) []byte { return []byte{setLarge, page, 0, 28, 255} }),
		"a page at another's place": {copyPage, 4, 0, 0, 6},
		"a root far away":           {setNumber, 0, 0, 32, 255, setNumber, 1, 0, 32, 255},
		"a far transaction":         {setLarge, 0, 0, 68, 255, setLarge, 1, 0, 68, 255},
		"half a file":               {cutFile, 6, 0, 0, 0},
		"pages without a size":      {setNumber, 0, 0, 24, 0, setNumber, 1, 0, 24, 0},
		"pages of one byte":         {setNumber, 0, 0, 24, 1, setNumber, 1, 0, 24, 1},
		"no pages":                  {clearPage, 0, 0, 0, 0, clearPage, 1, 0, 0, 0},
	}
}

// recipeForPages returns the steps for all pages with the given flags.
func recipeForPages(image []byte, flags uint16, step func(page byte) []byte) []byte {
	var recipe []byte
	for page := 2; page < min(len(image)/PageSize, 255); page++ {
		if binary.NativeEndian.Uint16(image[page*PageSize+8:]) == flags {
			recipe = append(recipe, step(byte(page))...)
		}
	}
	return recipe
}
