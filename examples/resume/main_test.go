package main

import (
	"context"
	"log"

	"github.com/holdfast-mq/holdfast/internal/proof/rig"
)

func Example() {
	if err := rig.WithPair(context.Background(), run); err != nil {
		log.Fatal(err)
	}
	// Output:
	// first run: receives five, leaves 3 undiscarded
	//   {"n":1}
	//   {"n":2}
	//   {"n":3}
	//   {"n":4}
	//   {"n":5}
	// second run: receives 3 again, then the rest
	//   {"n":3}
	//   {"n":6}
	//   {"n":7}
	//   {"n":8}
	//   {"n":9}
	//   {"n":10}
}
