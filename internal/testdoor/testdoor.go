// Package testdoor gives this module's tests, simulators and test double access to the inside of
// the public packages: an in-memory disk in their options, a running server's journal, and the disk
// and network of servertest. The command holdfastd dev kills its instances through it. An application
// cannot import it, so these doors are no part of the API.
package testdoor

import (
	"fmt"
	"reflect"

	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// The doors that packages offer. Packages register them in their init functions, so they need
// no lock.
var (
	disks  = map[reflect.Type]any{}    // func(*O) *seglog.FS, by the type of the options O
	parts  = map[[2]reflect.Type]any{} // func(T) P, by the types P and T
	server func(server any) Server
)

// OffersPart registers a function that returns the part of type P of an object of type T.
func OffersPart[P, T any](part func(object T) P) { parts[partKey[P, T]()] = part }

// Part returns the part of type P of an object, such as the *memfs.FS of a *servertest.Instance. It
// panics if objects of type T offer none.
func Part[P, T any](object T) P {
	part, ok := parts[partKey[P, T]()].(func(T) P)
	if !ok {
		panic(fmt.Sprintf("testdoor: %T offers no %v", object, reflect.TypeFor[P]()))
	}
	return part(object)
}

func partKey[P, T any]() [2]reflect.Type {
	return [2]reflect.Type{reflect.TypeFor[P](), reflect.TypeFor[T]()}
}

// OffersDisk registers options of type O: field returns their file system.
func OffersDisk[O any](field func(options *O) *seglog.FS) { disks[reflect.TypeFor[O]()] = field }

// OnDisk returns the options with a file system other than the machine's. It panics if
// options of this type have none.
func OnDisk[O any](options O, disk seglog.FS) O {
	*diskOf(&options) = disk
	return options
}

// DiskOf returns the file system of the options, nil for the machine's. It panics if options
// of this type have none.
func DiskOf[O any](options O) seglog.FS { return *diskOf(&options) }

func diskOf[O any](options *O) *seglog.FS {
	field, ok := disks[reflect.TypeFor[O]()].(func(*O) *seglog.FS)
	if !ok {
		panic(fmt.Sprintf("testdoor: %T has no file system", *options))
	}
	return field(options)
}

// A Server is the inside of a running server. It is safe for concurrent use.
type Server interface {
	// Kill stops the server like kill -9: it writes and sends nothing more. The server's error
	// is then one with the text "server: killed".
	Kill()
	// Have returns the highest sequence of a publisher in the journal, durable or not. It is 0
	// for an unknown publisher.
	Have(publisher uint64) uint64
	// Messages returns the messages of a topic in journal order. An empty topic means all topics.
	Messages(topic string) ([]Message, error)
	// Trim removes the old messages that retention allows to remove now, and returns the number
	// of removed segments. The server does the same by itself, at least every minute.
	Trim() int
}

// A Message is a message in a server's journal.
type Message struct {
	Publisher uint64
	Sequence  uint64
	Topic     string
	Body      []byte
}

// OffersServer registers the function that returns the inside of a *server.Server.
func OffersServer(inside func(server any) Server) { server = inside }

// Inside returns the inside of a running *server.Server.
func Inside(s any) Server { return server(s) }
