// Answers what the kubelet reads in a dockerconfigjson. Takes a question a line, as a JSON object with a document in base64, and
// prints a line for each: `null` where the kubelet refuses the document, otherwise an object of registry → username, password,
// email. If the question has an image, the answer is instead the list of credentials that the kubelet tries, in order.
// Built by test/cluster/kubelet-parser.ts with the module of each Kubernetes version.
package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"

	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/credentialprovider"
	"k8s.io/kubernetes/pkg/credentialprovider/secrets"
)

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<16)
	out := json.NewEncoder(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return
		}
		must(err)
		var question struct {
			Document []byte
			Image    string
		}
		must(json.Unmarshal(line, &question))
		if question.Image == "" {
			must(out.Encode(read(question.Document)))
		} else {
			must(out.Encode(lookUp(question.Document, question.Image)))
		}
	}
}

// read parses the data of a Secret as pkg/credentialprovider/secrets does before every pull.
func read(document []byte) map[string][3]string {
	var config credentialprovider.DockerConfigJSON
	if json.Unmarshal(document, &config) != nil {
		return nil
	}
	entries := make(map[string][3]string)
	for registry, entry := range config.Auths {
		entries[registry] = [3]string{entry.Username, entry.Password, entry.Email}
	}
	return entries
}

// lookUp selects credentials as the kubelet does for a pull with one pull Secret.
func lookUp(document []byte, image string) [][3]string {
	secret := v1.Secret{
		Type: v1.SecretTypeDockerConfigJson,
		Data: map[string][]byte{v1.DockerConfigJsonKey: document},
	}
	keyring, err := secrets.MakeDockerKeyring([]v1.Secret{secret}, &credentialprovider.BasicDockerKeyring{})
	if err != nil {
		return nil
	}
	found, _ := keyring.Lookup(image)
	credentials := make([][3]string, 0)
	for _, one := range found {
		credentials = append(credentials, [3]string{one.Username, one.Password, one.Email})
	}
	return credentials
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
