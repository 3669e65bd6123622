/** A tab of GraphiQL. The comments in it are for whoever reads it there, at most 57 columns wide, which a small window shows. */
export interface Example {
  /** One named operation; the name is the tab's title. */
  readonly query: string;
  /** A value `<id of NAME>` stands for the id of the credential of that name in the integration `webshop`: the page looks it up. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

/** What the page asks to replace an `<id of NAME>`. */
export const credentialIdQuery = `query CredentialId($name: String!) {
  credentials(integration: { name: "webshop" }, name: $name, first: 1) {
    nodes { ... on CredentialBase { id } }
  }
}`;

/**
 * The examples, in the order in which they make sense: the first makes what the others read and change, the last takes it away. Each runs
 * as it stands, and again: what exists already is answered with a ConflictError, and the rest goes on.
 */
export const examples: readonly Example[] = [
  // Everything there is, made by one operation, with credentials of four kinds that are created together with their connection.
  {
    query: `# Start here: press the button with the triangle.
# One operation makes an integration, a connector, an end
# user, and a connection with four new credentials. From
# then on their secrets are *****. Run it again: what
# exists is answered with a ConflictError.
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
      { id: "basic", schemeType: BASIC_AUTH }
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
        data: { basicAuth: {
          username: "maple"
          password: "correct horse battery staple"
        } }
      } } }
      { credential: { create: {
        name: "Parcels key"
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

  // Reading a connection by its name, with its credentials in order and their secrets redacted.
  {
    query: `# A connection, found by name, and its credentials in the
# order in which they are applied. A secret is not text:
# it tells whether it is set, since when, and, to whoever
# may see fingerprints, whether two are equal.
query Connection {
  connection(by: { inConnector: {
    connector: { inIntegration: {
      integration: { name: "webshop" }
      name: "parcels"
    } }
    name: "Maple's parcels"
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

  // A page of a list: what all kinds have through the interface, where each is used, and how to go on.
  {
    query: `# A page of an integration's credentials, newest first.
# CredentialBase is what all kinds have. For the next
# page, give the endCursor as "after" in the variables.
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
    query: `# Filters: an end user, kinds, a name with * and ?, and
# whether it is enabled. Sorted by name.
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

  // From the end user to everything that is kept for them.
  {
    query: `# What is kept for one end user, found by your own id for
# them.
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

  // A partial update: the password is neither sent nor changed.
  {
    query: `# Changes one field. What is not mentioned stays: the
# password is not sent, and its sealedAt does not move.
# This page looks up the "<id of Parcels login>" in the
# variables; your program has the id from a list.
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

  // The one way to a plaintext.
  {
    query: `# The only way to a plaintext: one field of one
# credential, with a reason. It needs the scope
# credentials.reveal, which all.Organization lacks.
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

  // For a service, and for a page that an end user looks at.
  {
    query: `# Two ways in beside your own tokens. The key is for a
# service, and limited to one integration; the token is
# for the browser of one end user, for ten minutes. Both
# are shown once.
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

  // Errors that a caller can act on are data: each with its path, and nothing is made.
  {
    query: `# A mistake is answered with data, not with an error:
# each issue with its path. Nothing is made, and no value
# that was sent is repeated.
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

  // What a front end needs to draw a form for any kind.
  {
    query: `# What a form for a credential needs: the fields of each
# kind, which are secret, which must be given, and their
# bounds. Without names: all kinds.
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

  // Takes all of it away, so that one may begin anew.
  {
    query: `# Deletes the integration of these examples with all that
# belongs to it. Without force it is refused while it
# holds anything. SetUp makes it anew.
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
