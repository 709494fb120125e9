// Command service is an HTTP service that publishes orders durably and works on them
// as a consumer. It is meant to be copied: README.md lists the changes for production.
// Start a pair, then:
//
//	go run ./examples/service -data service-data
//	curl -i -d '{"item":"book"}' 127.0.0.1:8080/orders
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/pubstore"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address of the HTTP server")
	servers := flag.String("servers", "tcp://127.0.0.1:9007/amps/json,tcp://127.0.0.1:9008/amps/json", "the pair, separated by commas")
	data := flag.String("data", "service-data", "directory of the publish store and the bookmark store")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once: the stores allow it
	if err := run(ctx, *listen, strings.Split(*servers, ","), *data); err != nil {
		log.Fatal("service: ", err)
	}
}

// run serves until ctx ends, then finishes the requests and the work under way.
func run(ctx context.Context, listen string, servers []string, data string) (err error) {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	store, err := pubstore.OpenFile(filepath.Join(data, "outbox"), pubstore.FileOptions{FailWhenFull: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	bookmarks, err := bookmarkstore.OpenBolt(filepath.Join(data, "bookmarks.db"), bookmarkstore.BoltOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bookmarks.Close()) }()

	c, err := client.Dial(ctx, client.Config{
		Name: "order-service", Servers: servers, PublishStore: store, BookmarkStore: bookmarks,
		StartOffline: true, // orders are taken, and kept, also while no server answers
		Logger:       slog.Default(),
		Hooks:        client.Hooks{FailedWrite: rejected},
	})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return errors.Join(err, c.Close())
	}
	slog.Info("ready", "address", listener.Addr().String())
	return serve(ctx, c, listener, ship)
}

// rejected logs a message that a server has rejected for good. The handler of its
// request learns it from the ticket, if it still waits.
func rejected(e *client.RejectedError) {
	slog.Error("order rejected", "reason", e.Reason, "topic", e.Message.Topic, "body", string(e.Message.Body))
}

// serve answers requests and works on orders until ctx ends. Then it takes no more
// requests, lets those under way end, finishes the work that has been handed over,
// and waits until a server has everything that was published.
func serve(ctx context.Context, c *client.Client, listener net.Listener, work func(context.Context, []byte) error) error {
	s := &http.Server{Handler: routes(c), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second}
	failed := make(chan error, 2)
	go func() { failed <- s.Serve(listener) }()
	consumed := make(chan struct{})
	go func() {
		defer close(consumed)
		if err := consume(c, work); err != nil {
			failed <- err
		}
	}()

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	end, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err = errors.Join(err, s.Shutdown(end), c.Drain(end))
	<-consumed
	return err
}
