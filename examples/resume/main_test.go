package main

import (
	"context"
	"log"
)

func Example() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// first life: takes five, leaves 3 undone
	//   {"n":1}
	//   {"n":2}
	//   {"n":3}
	//   {"n":4}
	//   {"n":5}
	// second life: gets 3 again, then the rest
	//   {"n":3}
	//   {"n":6}
	//   {"n":7}
	//   {"n":8}
	//   {"n":9}
	//   {"n":10}
}
