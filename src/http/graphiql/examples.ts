/** A tab of GraphiQL. Its comments are at most 57 columns wide, so that they fit into a small window. */
export interface Example {
  /** One named operation; the name is the tab's title. */
  readonly query: string;
  /** The page replaces a value `<id of NAME>` by the id of the credential with that name in the integration `webshop`. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

/** The query with which the page replaces an `<id of NAME>`. */
export const credentialIdQuery = `query CredentialId($name: String!) {
  credentials(integration: { name: "webshop" }, name: $name, first: 1) {
    nodes { ... on CredentialBase { id } }
  }
}`;

/**
 * The examples, in the order in which to run them: the first creates what the others read and change, and the last deletes it. Each can be
 * run without changes, and repeatedly: for an object that exists already the result is a ConflictError, and the other mutations run.
 */
export const examples: readonly Example[] = [
  // Creates one object of each type in one operation, with credentials of four kinds that are created together with their connection.
  {
    query: `# Start here: press the button with the triangle.
# This operation creates an integration, a connector, an
# end user, and a connection with four new credentials.
# Other operations return their secrets as *****. If you
# run it again, it returns a ConflictError for each.
mutation SetUp {
  createIntegration(input: {
    name: "webshop"
    description: "Orders from our customers' shops"
  }) {
    ... on CreateIntegrationSuccess {
      integration { id }
    }
    ... on MutationError { code message }
  }

  createConnector(input: {
    integration: { name: "webshop" }
    name: "parcels"
    baseUrl: "https://api.parcels.example/v2"
    authSchemes: [
      { schemeId: "basic", schemeType: BASIC_AUTH }
    ]
  }) {
    ... on CreateConnectorSuccess { connector { id } }
    ... on MutationError { code message }
  }

  createEndUser(input: {
    integration: { name: "webshop" }
    externalId: "customer-1"
    displayName: "Maple Street Books"
    contacts: [{
      type: TECHNICAL
      name: "Robin Doe"
      email: "robin@maple.example"
    }]
  }) {
    ... on CreateEndUserSuccess { endUser { id } }
    ... on MutationError { code message }
  }

  createConnection(input: {
    integration: { name: "webshop" }
    connector: { inIntegration: {
      integration: { name: "webshop" }
      name: "parcels"
    } }
    endUser: { inIntegration: {
      integration: { name: "webshop" }
      externalId: "customer-1"
    } }
    name: "Maple's parcels"
    actionCredentials: [
      { credential: { create: {
        name: "Parcels login"
        allowedDomains: ["api.parcels.example"]
        allowedPurposes: [ACTION]
        data: { basicAuth: {
          username: "maple"
          password: "correct horse battery staple"
        } }
      } } }
      { credential: { create: {
        name: "Parcels key"
        allowedDomains: ["api.parcels.example"]
        allowedPurposes: [ACTION]
        data: { apiKey: {
          headerName: "X-Api-Key"
          apiKey: "example-key-1234"
        } }
      } } }
      { credential: { create: {
        name: "Maple's mailbox"
        data: { oauth2Token: {
          accessToken: "example-access-token"
          refreshToken: "example-refresh-token"
          scopes: ["mail.read"]
        } }
      } } }
    ]
    triggerCredentials: [
      { credential: { create: {
        name: "Webhook signature"
        data: { string: { value: "example-secret" } }
      } } }
    ]
    variables: [{ name: "warehouse", value: "north" }]
  }) {
    ... on CreateConnectionSuccess {
      connection {
        id
        actionCredentials {
          credential {
            ... on CredentialBase { name kind }
          }
        }
      }
    }
    ... on MutationError { code message }
  }
}
`,
  },

  // Reads a connection by its name, with its credentials in order and their secrets redacted.
  {
    query: `# Returns a connection by its name, and its credentials
# in the order in which they are applied. A secret is an
# object: it shows whether it is set, when it was sealed,
# and a fingerprint that is the same for equal secrets,
# if the token has the scope for fingerprints.
query Connection {
  connection(by: { inConnector: {
    connector: { inIntegration: {
      integration: { name: "webshop" }
      name: "parcels"
    } }
    name: "Maple's parcels"
    endUser: { inIntegration: {
      integration: { name: "webshop" }
      externalId: "customer-1"
    } }
  } }) {
    name
    actionCredentials {
      credential {
        __typename
        ... on CredentialBase { name }
        ... on BasicAuthCredential {
          username
          password { redacted }
        }
        ... on APIKeyCredential {
          headerName
          apiKey { redacted isSet fingerprint }
        }
        ... on OAuth2TokenCredential {
          scopes
          accessToken { redacted }
          refreshToken { redacted sealedAt }
        }
      }
    }
    connector { baseUrl }
    endUser { displayName }
    variables { name value }
  }
}
`,
  },

  // A page of a list: the fields that all kinds have, where each credential is used, and how to get the next page.
  {
    query: `# Returns a page of an integration's credentials, newest
# first. CredentialBase has the fields of all kinds. For
# the next page, set "after" in the variables to the
# endCursor of this page.
query List($after: String) {
  credentials(
    integration: { name: "webshop" }
    first: 10
    after: $after
  ) {
    totalCount
    pageInfo { hasNextPage endCursor }
    nodes {
      ... on CredentialBase {
        id
        name
        kind
        version
        usages(first: 3) { nodes { name } }
      }
      ... on StringCredential { value { redacted } }
    }
  }
}
`,
    variables: { after: null },
  },

  // Filters and a sort order.
  {
    query: `# Filters by end user, kinds, a name that may contain the
# wildcards * and ?, and "enabled". Sorts by name.
query Filter {
  credentials(
    integration: { name: "webshop" }
    endUser: { inIntegration: {
      integration: { name: "webshop" }
      externalId: "customer-1"
    } }
    kinds: [BASIC_AUTH, API_KEY, OAUTH2_TOKEN]
    name: "Parcels*"
    enabled: true
    sort: { field: NAME, direction: ASC }
  ) {
    nodes {
      ... on CredentialBase { name kind }
      ... on BasicAuthCredential {
        username
        password { redacted }
      }
      ... on APIKeyCredential {
        headerName
        apiKey { redacted }
      }
    }
  }
}
`,
  },

  // An end user and everything that is stored for them.
  {
    query: `# Returns what is stored for one end user. The externalId
# is your own id of the end user.
query EndUser {
  endUser(by: { inIntegration: {
    integration: { name: "webshop" }
    externalId: "customer-1"
  } }) {
    displayName
    contacts { type name email emailVerified }
    connections(first: 5) {
      nodes { name connector { name } }
    }
    credentials(first: 5) {
      totalCount
      nodes { ... on CredentialBase { name kind } }
    }
  }
}
`,
  },

  // Which connections work, and what a request over each would get.
  {
    query: `# Shows which connections work, and what the gateway
# adds to requests over them. Nothing is sent. Each
# problem says what to change: here, requests are refused
# as long as "Maple's mailbox" is in the list, which is
# for another service and may not be sent to this one.
query Plan {
  connections(
    integration: { name: "webshop" }
    search: "*maple*"
  ) {
    nodes {
      name
      state
      problems { code message since }
      requestPlan(purpose: ACTION) {
        baseUrl
        allowedHosts
        steps { location name value }
        problems { code message credentialId }
      }
    }
  }
}
`,
  },

  // A partial update: the password is neither sent nor changed.
  {
    query: `# Changes one field. All other fields keep their values:
# the password is not sent, and its sealedAt does not
# change. This page replaces "<id of Parcels login>" in
# the variables; your program gets the id from a list.
mutation Change($id: ID!) {
  updateCredential(input: {
    credential: $id
    data: { basicAuth: { username: "maple.books" } }
  }) {
    ... on UpdateCredentialSuccess {
      credential {
        ... on CredentialBase { name version }
        ... on BasicAuthCredential {
          username
          password { redacted sealedAt }
        }
      }
    }
    ... on MutationError { code message }
  }
}
`,
    variables: { id: '<id of Parcels login>' },
  },

  // Many connections at once, which can be sent again.
  {
    query: `# Creates up to 1,000 connections, or updates them. The
# name, connector and end user decide which connection it
# is, so if you run it again, it changes nothing. An item
# can also have new credentials, as in SetUp.
mutation Import {
  importConnections(input: {
    integration: { name: "webshop" }
    connections: [
      {
        name: "Returns"
        connector: { inIntegration: {
          integration: { name: "webshop" }
          name: "parcels"
        } }
        variables: [
          { name: "warehouse", value: "south" }
        ]
      }
      { name: "Mail", allowedDomain: "mail.example" }
    ]
  }) {
    ... on ImportConnectionsSuccess {
      imported {
        createdCount
        unchangedCount
        results {
          status
          connectionId
          error { code issues { path message } }
        }
      }
    }
    ... on MutationError { code message }
  }
}
`,
  },

  // The only operation that returns a plaintext.
  {
    query: `# The only operation that returns a plaintext: one field
# of one credential, with a reason. It requires the scope
# credentials.reveal, which is not in all.Organization.
mutation Reveal($id: ID!) {
  revealSecret(input: {
    credential: $id
    field: "password"
    reason: "Trying the example in GraphiQL"
  }) {
    ... on RevealSecretSuccess {
      secret { field plaintext }
    }
    ... on MutationError { code message }
  }
}
`,
    variables: { id: '<id of Parcels login>' },
  },

  // An API key for a service, and a token for the browser of an end user.
  {
    query: `# Creates an API key for a service, limited to one
# integration, and a token for the browser of one end
# user, valid for ten minutes. Both are shown only once.
mutation LetIn {
  createAPIKey(input: {
    name: "webshop sync"
    scopes: ["connections.*", "credentials.get"]
    integration: { name: "webshop" }
  }) {
    ... on CreateAPIKeySuccess {
      issued { key apiKey { scopes } }
    }
    ... on MutationError { code message }
  }

  createEndUserToken(input: {
    endUser: { inIntegration: {
      integration: { name: "webshop" }
      externalId: "customer-1"
    } }
    lifetimeSeconds: 600
  }) {
    ... on CreateEndUserTokenSuccess {
      endUserToken { token scopes expiresAt }
    }
    ... on MutationError { code message }
  }
}
`,
  },

  // Errors that a caller can act on are part of the data, each with its path. Nothing is created.
  {
    query: `# For invalid input, the result is data that lists each
# issue with its path. Nothing is created, and messages
# do not repeat the values of the input.
mutation Mistake {
  createCredential(input: {
    integration: { name: "webshop" }
    name: "A login"
    data: { basicAuth: {
      username: "a:colon"
      password: "example-password"
    } }
  }) {
    ... on CreateCredentialSuccess {
      credential { ... on CredentialBase { id } }
    }
    ... on ValidationError { issues { path message } }
    ... on MutationError { code message }
  }
}
`,
  },

  // What a front end needs to show a form for any kind.
  {
    query: `# Returns what a form for a credential needs: the fields
# of each kind, which of them are secret or required, and
# their limits. Without names, it returns all kinds.
query Form($names: [String!]) {
  credentialKinds(names: $names) {
    name
    description
    fields {
      name
      description
      type
      isSecret
      isRequired
      maxLength
      example
      values { name description }
    }
  }
}
`,
    variables: { names: ['basicAuth', 'sql'] },
  },

  // What happens, as it happens.
  {
    query: `# Shows what happens to the objects as it happens, until
# you press the button again. Change something in another
# window of your browser to see it here.
subscription Follow {
  events(integration: { name: "webshop" }) {
    createdAt
    type
    reason
    objectType
    objectId
    createdBy { kind subject }
  }
}
`,
  },

  // Deletes everything, so that the examples can be run from the start.
  {
    query: `# Deletes the integration of these examples with all its
# objects. Without force, an integration that is not
# empty is not deleted. Run SetUp to create it again.
mutation CleanUp {
  deleteIntegration(input: {
    integration: { name: "webshop" }
    force: true
  }) {
    ... on DeleteIntegrationSuccess { deletedId }
    ... on MutationError { code message }
  }
}
`,
  },
];
