package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/holdfast-mq/holdfast/client"
)

// A client prefers the server of its own site. It moves to the other one when its own server fails,
// and back once its own server has been in sync for a while. The hook prints the reason of each
// move.
func ExampleNewPriority() {
	pair := newExamplePair()
	defer pair.end()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	moved := make(chan client.Move, 10)
	c, err := client.Dial(ctx, client.Config{
		Name:    "order-gateway",
		Chooser: client.NewPriority(client.FailBackInSync(100*time.Millisecond), pair.servers...), // use 30s, say
		Dial:    pair.Dial,
		Hooks:   client.Hooks{Moved: func(m client.Move) { moved <- m }},

		HeartbeatInterval: 10 * time.Second, // a busy test machine may be silent for two seconds
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	fmt.Println("begins on", (<-moved).To)
	pair.A.Close()
	m := <-moved
	fmt.Printf("moves to %s, the other stops: %v\n", m.To, errors.Is(m.Err, client.ErrServerStopping))
	pair.A.Restart()
	m = <-moved
	fmt.Printf("moves to %s: %v\n", m.To, m.Err)
	// Output:
	// begins on tcp://a:9007/amps/json
	// moves to tcp://b:9007/amps/json, the other stops: true
	// moves to tcp://a:9007/amps/json: a preferred server can be reached
}
