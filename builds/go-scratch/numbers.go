// Prints a number as some languages write it.
package main

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/number"
)

func main() {
	value, err := strconv.ParseFloat(os.Args[1], 64)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	for _, tag := range []language.Tag{language.English, language.German, language.Hindi} {
		fmt.Println(tag, message.NewPrinter(tag).Sprint(number.Decimal(value)))
	}
}
