//go:build !mut

package client

import "github.com/holdfast-mq/holdfast/pubstore"

func waits(*conn) bool { return false }

func (c *Client) sendUnkept(*pubstore.Message) {}
